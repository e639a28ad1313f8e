"""Language models: the recurrent network that says which token comes next."""
