"""What the API takes: the machine config, durations and regions, checked as Fly checks them."""
