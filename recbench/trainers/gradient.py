"""Training by stochastic gradients, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from recbench.compiled.backend import resolve_backend
from recbench.data import Interactions, Split
from recbench.errors import ConfigError, DivergedError
from recbench.kernels import BackendName
from recbench.models import GradientModel, Model
from recbench.models.mf import MF
from recbench.negatives import Negatives, Sampler
from recbench.negatives.uniform import UniformConfig
from recbench.nn.losses import Loss, Scored, losses
from recbench.options import Config
from recbench.randomness import derive, generator
from recbench.registry import OneOf
from recbench.trainers import register
from recbench.trainers.base import EpochRecord, FitResult, Trainer
from recbench.trainers.epochs import Engine, EpochsConfig, fit_in_epochs
from recbench.trainers.optimizers import build_optimizer, optimizers

if TYPE_CHECKING:
    from recbench.checkpoints import Checkpoints
    from recbench.compiled.ncf import NCF

CHECK_EVERY = 64
"""Steps between two looks at the loss; a look waits for the device."""
PAIRS_TOLD = 5
"""Pairs of a batch that a message names."""


class GradientConfig(EpochsConfig):
    """Options of ``gradient``."""

    batch_size: int = Field(2048, ge=1)
    """Observed pairs a step; each comes with its negatives."""

    optimizer: Annotated[str, OneOf(optimizers)] = "adam"
    """How parameters move: adam, lazy_adam, adagrad, sgd; see ``recbench list optimizers``."""

    lr: float = Field(1e-3, gt=0)
    """Learning rate."""

    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate falls over all steps of all epochs: not, or to zero."""

    weight_decay: float = Field(0.0, ge=0)
    """L2 on all parameters by the optimiser; ``model.reg`` is on the rows of the batch, in the loss."""

    clip_norm: float | None = Field(None, gt=0)
    """Largest norm of the whole gradient; null does not clip."""

    @model_validator(mode="after")
    def _decays_what_it_moves(self) -> Self:
        if self.weight_decay and optimizers.entry(self.optimizer).traits["moves"] != "all":
            raise ValueError(
                f"weight_decay = {self.weight_decay}: acts on all rows, and {self.optimizer!r} moves only those of the "
                "batch; use model.reg, or optimizer=adam."
            )
        return self


@register("gradient", config=GradientConfig)
class Gradient(Trainer):
    """Shuffles the pairs, draws negatives anew and steps, each epoch from its own counter-based randomness.

    So an epoch's bits depend on the seed and the epoch's number alone, never on what was logged or evaluated.
    """

    config: GradientConfig

    def fit(
        self,
        model: Model,
        split: Split,
        *,
        seed: int = 0,
        negatives: Sampler | None = None,
        validate: Callable[[Model], Mapping[str, float]] | None = None,
        on_epoch: Callable[[EpochRecord], None] | None = None,
        progress: bool = False,
        backend: BackendName = "auto",
        checkpoints: Checkpoints | None = None,
    ) -> FitResult:
        """Fit ``model`` on ``split.train`` and leave it with the parameters of the chosen epoch.

        Args:
            model: A ``GradientModel`` on its device.
            split: Only the training part is learnt from.
            seed: Of shuffling, negatives and dropout.
            negatives: On the model's device; needed by ranking losses.
            validate: Gives the metrics of the part that chooses the epoch.
            on_epoch: Is told of each epoch.
            progress: Whether to draw a progress bar where the output is a terminal.
            backend: What takes the steps.
            checkpoints: What an earlier attempt left, and where to keep states; see ``Trainer.fit``.

        Raises:
            ConfigError: A ranking loss without negatives, a selection without the part it needs, or a backend that
                does not apply.
            DivergedError: The loss stopped being finite.
        """
        if not isinstance(model, GradientModel):
            raise ConfigError(f"{type(model).__name__} is no GradientModel, and the trainer 'gradient' fits no other.")

        return fit_in_epochs(
            model,
            self._steps(model, split.train, seed, negatives, backend),
            self.config,
            validate=validate,
            on_epoch=on_epoch,
            progress=progress,
            checkpoints=checkpoints,
        )

    def _steps(
        self, model: GradientModel, train: Interactions, seed: int, negatives: Sampler | None, backend: BackendName
    ) -> Engine:
        """Return what takes the steps of an epoch."""
        drawn: Config | None = getattr(negatives, "config", None)
        if resolve_backend(backend, type(model), model.config, self.config, drawn, model.device) == "torch":
            return _Steps(model, train, self.config, seed, negatives)
        # These import numba, which takes a second and need not be there.
        if isinstance(model, MF):
            from recbench.compiled.mf import MFSteps

            return MFSteps(model, train, self.config, seed, cast(UniformConfig, drawn))
        from recbench.compiled.ncf import NCFSteps

        assert negatives is not None, "the compiled backend wants uniform ones"
        return NCFSteps(cast("NCF", model), train, self.config, seed, negatives)


@dataclass
class _Place:
    """Where an epoch stands.

    Attributes:
        step: How many are taken.
        total: Sum of their losses.
        negatives: The stream of those to come.
        drawn_from: The state of the stream before those of the batches that are drawn together with the next one.
        recent: Which pairs each step since the last look at the losses had, and its loss; the last step always.
    """

    epoch: int
    step: int
    total: Tensor
    negatives: torch.Generator
    drawn_from: Tensor
    recent: list[tuple[Tensor, Tensor]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Batch:
    """What a step learns from.

    Shapes:
        index: (B,) which pairs.
        users: (B,); asked: (B, C) items whose scores count, the positive first, or (C,), the same for all users.
        ratings: (B,) of the pairs, where they count.
    """

    index: Tensor
    users: Tensor
    asked: Tensor
    negatives: Negatives | None
    ratings: Tensor | None


class _Steps(Engine):
    """The steps of one training: pairs, optimiser, learning rate."""

    def __init__(
        self,
        model: GradientModel,
        train: Interactions,
        config: GradientConfig,
        seed: int,
        negatives: Sampler | None,
    ) -> None:
        name = model.config.loss  # type: ignore[attr-defined]
        entry = losses.entry(name)
        self.on_ratings = entry.traits["target"] == "ratings"
        if self.on_ratings and train.ratings is None:
            raise ConfigError(f"model.loss = {name!r}: learns from ratings, and the data set has none; try 'bpr'.")
        if not self.on_ratings and negatives is None:
            raise ConfigError(f"model.loss = {name!r}: needs negatives.")
        self.loss: Loss = entry.target
        self.summed = bool(entry.traits.get("summed", False))
        self.model = model
        self.config = config
        self.seed = seed
        self.negatives = negatives
        self.train = train
        self.users = train.users.to(model.device)
        self.items = train.items.to(model.device)
        self.ratings = train.ratings.to(model.device) if self.on_ratings and train.ratings is not None else None
        self.optimizer = build_optimizer(config.optimizer, model, config.weight_decay)
        self.steps_an_epoch = math.ceil(len(train) / config.batch_size)
        self.together = 1 if negatives is None else negatives.n_together(config.batch_size)
        self.place: _Place | None = None
        self.dropout: Mapping[str, Tensor] | None = None

    def epoch(self, number: int) -> dict[str, float]:
        """Take the steps of one epoch, all or those that are left, and return its mean loss and last learning rate."""
        device = self.model.device
        shuffled = generator(self.seed, "shuffle", number, device=device)
        order = torch.randperm(len(self.users), generator=shuffled, device=device)
        if self.place is None:
            total = torch.zeros((), dtype=torch.float64, device=device)
            negatives = generator(self.seed, "negatives", number, device=device)
            self.place = _Place(number, 0, total, negatives, negatives.get_state())
        place = self.place
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(derive(self.seed, "dropout", number))
            if self.dropout is not None:
                _set_global_state(self.dropout, device)
                self.dropout = None
            for batch in self._batches(order, place):
                loss = self._batch_loss(batch)
                self.optimizer.zero_grad()
                loss.backward()
                if self.config.clip_norm is not None:
                    self.optimizer.clip(self.config.clip_norm)
                self.optimizer.step(self._lr(number, place.step))
                place.total += loss.detach().double() * (1 if self.summed else len(batch.index))
                place.recent.append((batch.index, loss.detach()))
                place.step += 1
                if place.step % CHECK_EVERY == 0:
                    self._refuse_divergence(place)
                self.after_step()
        self._refuse_divergence(place, parameters=True)
        self.place = None
        return {"loss": float(place.total) / len(self.users), "lr": self._lr(number, self.steps_an_epoch - 1)}

    def _batches(self, order: Tensor, place: _Place) -> Iterator[_Batch]:
        """Yield the batches of an epoch's ``order`` from ``place`` on; what they are made of is looked up together."""
        size = self.config.batch_size
        for first in range(place.step - place.step % self.together, self.steps_an_epoch, self.together):
            place.drawn_from = place.negatives.get_state()
            pairs = order[first * size : (first + self.together) * size]
            users, asked = self.users.index_select(0, pairs), self.items.index_select(0, pairs)[:, None]
            negatives = ratings = None
            if self.ratings is not None:
                ratings = self.ratings.index_select(0, pairs)
            elif self.negatives is not None:
                negatives = self.negatives.sample(users, asked[:, 0], place.negatives)
                own = negatives.items.dim() == 2
                asked = torch.cat([asked, negatives.items], 1) if own else negatives.items
            for begin in range((place.step - first) * size, len(pairs), size):
                some = slice(begin, begin + size)
                yield _Batch(
                    pairs[some],
                    users[some],
                    asked[some] if asked.dim() == 2 else asked,
                    None if negatives is None else negatives.rows(some),
                    None if ratings is None else ratings[some],
                )

    def _batch_loss(self, batch: _Batch) -> Tensor:
        users, asked = batch.users, batch.asked
        scores = self.model(users, asked)
        if batch.negatives is None:
            loss = self.loss(Scored(scores[:, 0], ratings=batch.ratings))
        else:
            if asked.dim() == 1:
                positive, negative = scores.diagonal(), scores
            else:
                # In the gradient, parts that are put together, where slices are tables of zeros that are added up.
                positive, negative = scores.split([1, scores.shape[1] - 1], 1)
                positive = positive[:, 0]
            loss = self.loss(Scored(positive, negative, batch.negatives.keep, batch.negatives.log_q))
        reg = self.model.config.reg  # type: ignore[attr-defined]
        if not reg:
            return loss
        if self.summed:
            return loss + reg / 2 * self._penalty_of_pairs(users, asked)
        return loss + reg / 2 / len(users) * self.model.penalty(users, asked)

    def _penalty_of_pairs(self, users: Tensor, asked: Tensor) -> Tensor:
        """Return the penalty of all pairs that were scored, each with its own user and item.

        A row that stands in n pairs counts n times; it is looked up once.
        """
        of_users = asked.shape[-1] * self.model.penalty(users, asked[:0])
        n_users_an_item = 1 if asked.dim() == 2 else len(users)
        return of_users + n_users_an_item * self.model.penalty(users[:0], asked)

    def _lr(self, epoch: int, step: int) -> float:
        """Return the learning rate of a step, counted from 0 within its epoch."""
        passed = ((epoch - 1) * self.steps_an_epoch + step) / (self.steps_an_epoch * self.config.epochs)
        if self.config.schedule == "linear":
            return self.config.lr * (1 - passed)
        if self.config.schedule == "cosine":
            return self.config.lr * (1 + math.cos(math.pi * passed)) / 2
        return self.config.lr

    def _refuse_divergence(self, place: _Place, *, parameters: bool = False) -> None:
        """Raise where a loss, or a parameter where that is asked, is not finite, naming the step and its pairs."""
        what, step = None, place.step
        if not math.isfinite(float(place.total)):
            finite = torch.isfinite(torch.stack([loss for _, loss in place.recent]))
            what, step = "the loss", place.step - len(finite) + int(finite.int().argmin()) + 1
        elif parameters and not all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters()):
            what = "a parameter"
        if what is not None:
            raise DivergedError(
                f"{what} of {type(self.model).__name__} is no longer finite in epoch {place.epoch}, "
                f"{'in' if what == 'the loss' else 'by'} step {step} of {self.steps_an_epoch} "
                f"(lr {self._lr(place.epoch, step - 1):g}), whose pairs are "
                f"{self._told(place.recent[step - place.step - 1][0])}. "
                "Lower trainer.lr, or set trainer.clip_norm=1."
            )
        del place.recent[:-1]

    def _told(self, index: Tensor) -> str:
        """Return the first pairs of a batch by their ids, and how many more there are."""
        shown = index[:PAIRS_TOLD].cpu()
        users = self.train.user_vocabulary.names(self.train.users[shown].numpy())
        items = self.train.item_vocabulary.names(self.train.items[shown].numpy())
        told = [f"({user!r}, {item!r})" for user, item in zip(users, items)]
        left = len(index) - len(told)
        return ", ".join(told) + (f" and {left:,} more" if left else "")

    def state(self) -> dict[str, Any]:
        """Return the optimiser's state and, in the middle of an epoch, the place in it; see ``Engine.state``."""
        within, place = None, self.place
        if place is not None:
            self._refuse_divergence(place, parameters=True)
            within = {
                "epoch": place.epoch,
                "step": place.step,
                "total": place.total,
                "negatives": place.drawn_from if place.step % self.together else place.negatives.get_state(),
                "dropout": _global_state(self.model.device),
            }
        return {"optimizer": self.optimizer.state(), "within": within}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``; see ``Engine.restore``."""
        self.optimizer.restore(state["optimizer"])
        within = state["within"]
        if within is not None:
            device = self.model.device
            negatives = torch.Generator(device=device)
            negatives.set_state(within["negatives"])
            self.place = _Place(
                within["epoch"], within["step"], within["total"].to(device), negatives, within["negatives"]
            )
            self.dropout = within["dropout"]


def _global_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state of torch's own generators, which dropout draws from."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def _set_global_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
