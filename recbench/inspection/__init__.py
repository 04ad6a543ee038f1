"""Looking at data: what a data set holds, what there is, and what is wrong with a file."""
