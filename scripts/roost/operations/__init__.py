"""What commands, workflows and rehearsals share: plan, apply and prove one environment."""
