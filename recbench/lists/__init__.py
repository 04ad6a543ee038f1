"""Lists that another system recommends, scored as if one of our models had given them."""

from recbench.lists.read import Lists, ListsFile, read_lists
from recbench.lists.record import write_evaluation
from recbench.lists.score import score_lists

__all__ = ["Lists", "ListsFile", "read_lists", "score_lists", "write_evaluation"]
