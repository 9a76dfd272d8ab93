"""How each structure of covariances is read, multiplied and summed: one file for each."""
