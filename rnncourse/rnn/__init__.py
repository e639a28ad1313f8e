"""The recurrent network: cell, forward pass, output layer and loss."""
