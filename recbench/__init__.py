"""A research framework for recommender systems whose numbers can be trusted."""
