"""Each user's last interaction for test, the one before for validation.

Source: He et al., Neural Collaborative Filtering, WWW 2017, section 4.1, https://arxiv.org/abs/1708.05031 (the latest
interaction for test). Validation and ``by=random`` are ours.
"""

from __future__ import annotations

from recbench.splits import register
from recbench.splits.leave_k_out import LeaveOut, LeaveOutConfig


class LeaveOneOutConfig(LeaveOutConfig):
    """Options of leave-one-out."""


@register("leave_one_out", config=LeaveOneOutConfig)
class LeaveOneOut(LeaveOut):
    """Each user's last interaction for test, the one before for validation, the rest for training."""
