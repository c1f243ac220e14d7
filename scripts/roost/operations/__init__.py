"""What commands, workflows and rehearsals share: planning and applying one environment, and where its values come from."""
