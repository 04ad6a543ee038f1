"""From words to checked jobs: what Hydra composes, where jobs will live, and where each value comes from."""

import pickle
import re
from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode

from recbench.cli.composition import make_plan
from recbench.cli.launchers import threads_each, threads_of_a_job
from recbench.cli.session import composed_config, conf_dir, hydra_session
from recbench.cli.task import job_name
from recbench.configuration import resolve
from recbench.errors import ConfigError
from recbench.options import Config
from recbench.resources import available_cores
from recbench.sweep import SweepConfig

FILES = sorted(path.relative_to(conf_dir()) for path in conf_dir().rglob("*.yaml"))


@pytest.fixture
def plan(untouched_registries, monkeypatch, tmp_path):
    """Return the plan of ``plan("-m", "model=mf,gmf")``, made in an empty folder that stays empty."""
    monkeypatch.chdir(tmp_path)

    def make(*words, config_dir=None):
        given = [word for word in words if word != "-m"]
        with hydra_session(config_dir) as session:
            return make_plan(session, given, multirun="-m" in words)

    return make


def write(name, text):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def only(plan):
    (job,) = plan.jobs
    return job.resolved.config


def test_nothing_typed_is_the_default_run(plan):
    config = only(plan())
    assert config == resolve({"dataset": "ml-100k", "split": "random", "model": "mf"}).config


def _of_its_model(group, name):
    """Return what a search space is for, which is not what is run by default."""
    return (f"model={name}",) if group == "sweep" and name != "auto" else ()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_file_composes_and_resolves(plan, path):
    group, _, name = path.with_suffix("").as_posix().partition("/")
    several = ("-m",) if group == "sweep" else ()
    made = plan(*several, f"{group}={name}" if name else "model=mf", *_of_its_model(group, name))
    assert all(job.resolved.config.settings.experiment in (None, name) for job in made.jobs)


def test_values_are_typed(plan):
    config = only(
        plan(
            "model=neumf",
            "model.layers=[32,8]",
            "trainer.lr=1e-2",
            "evaluation.metrics=[ndcg@5,auc]",
            "label='a=b, c'",
            "split.seed=${seed}",
            "++seed=3",
            "tracking.tensorboard=false",
        )
    )
    assert config.model.layers == (32, 8)
    assert config.trainer.lr == 0.01
    assert config.evaluation.metrics == ("ndcg@5", "auc")
    assert config.settings.label == "a=b, c"
    assert config.split.seed == config.seed == 3
    assert config.tracking.tensorboard is False


def test_a_default_can_be_referred_to(plan):
    assert only(plan("model=mf", "dataset=planted", "dataset.dim=${model.dim}")).dataset.dim == 64


def test_a_named_choice_of_the_trainer_keeps_the_models_wishes(plan):
    auto, named = only(plan("model=mf")), only(plan("model=mf", "trainer=gradient", "negatives=uniform"))
    assert auto == named


def test_a_variant_in_a_file_of_the_users(plan):
    write("mine/model/mf_small.yaml", "defaults: [mf]\ndim: 4\n")
    write(
        "mine/experiment/table_2.yaml",
        "# @package _global_\ndefaults:\n  - override /model: mf_small\nseed: 7\ntrainer:\n  selection: test\n",
    )
    config = only(plan("experiment=table_2", "trainer.lr=0.5", config_dir="mine"))
    assert (config.model.dim, config.seed, config.trainer.selection, config.trainer.lr) == (4, 7, "test", 0.5)
    assert config.settings.experiment == "table_2"
    assert only(plan("model=mf_small", "model.dim=5", "hydra.searchpath=[mine]")).model.dim == 5


def test_a_sweep_is_the_product_in_order(plan):
    made = plan("-m", "model=mf,neumf", "seed=range(2)", "trainer.epochs=choice(1,2)")
    assert [job.overrides for job in made.jobs] == [
        (f"model={model}", f"seed={seed}", f"trainer.epochs={epochs}")
        for model in ("mf", "neumf")
        for seed in (0, 1)
        for epochs in (1, 2)
    ]
    assert [job.resolved.config.seed for job in made.jobs] == [0, 0, 1, 1] * 2
    assert len({job.folder for job in made.jobs}) == 8


def test_a_pattern_chooses_among_registered_parts(plan):
    assert [job.overrides for job in plan("-m", "model=glob(*knn)").jobs] == [("model=item_knn",), ("model=user_knn",)]


def test_a_search_space_in_a_file(plan):
    write(
        "mine/sweep/lr.yaml",
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      trainer.lr: 0.1,0.2\n",
    )
    made = plan("sweep=lr", "model=mf", config_dir="mine")
    assert made.multirun
    assert [job.resolved.config.trainer.lr for job in made.jobs] == [0.1, 0.2]
    assert "hydra.sweeper.params=null" in made.overrides and "++trainer.lr=0.1,0.2" in made.overrides
    write("mine/sweep/bad.yaml", "# @package _global_\nhydra:\n  sweeper:\n    params:\n      model: mf,fm\n")
    with pytest.raises(ConfigError, match="no model 'fm'. Did you mean 'mf'?"):
        plan("-m", "sweep=bad", config_dir="mine")


def test_options_of_the_sweep_are_no_runs(plan):
    plain = plan("-m", "seed=0,1")
    told = plan("-m", "seed=0,1", "sweep.retry=failed", "sweep.fail_fast=true")
    assert (plain.sweep, told.sweep) == (SweepConfig(), SweepConfig(retry="failed", fail_fast=True))
    assert told.folder == plain.folder
    assert [job.folder for job in told.jobs] == [job.folder for job in plain.jobs]
    assert [job.resolved for job in told.jobs] == [job.resolved for job in plain.jobs]
    write("mine/sweep/seeds.yaml", "# @package _global_\nsweep:\n  retry: failed\n")
    assert plan("-m", "sweep=seeds", config_dir="mine").sweep == SweepConfig(retry="failed")


def test_mistakes_in_options_of_the_sweep_are_told_with_those_of_its_jobs(plan):
    with pytest.raises(ConfigError) as told:
        plan("-m", "seed=0,-1", "sweep.retry=all", "sweep.fail_fats=true")
    assert str(told.value).splitlines() == [
        "the sweep cannot be configured:",
        "  retry = 'all': should be 'none' or 'failed'.",
        "  fail_fats = True: no such option. Did you mean 'fail_fast'? Known: batch, budget, fail_fast, "
        "prune, retry, sampler, sampler_seed, seeds, space.",
        "job 2 of 2: the run cannot be configured:",
        "  seed = -1: should be at least 0.",
    ]
    with pytest.raises(ConfigError, match="^sweep.retry=failed is an option of a sweep, and this is a single run: add"):
        plan("sweep.retry=failed")
    with pytest.raises(ConfigError, match="^sweep.retry=none,failed: the sweep's own options cannot be swept over; "):
        plan("-m", "sweep.retry=none,failed")


def test_options_without_effect_are_recorded_in_a_sweep_over_models(plan):
    made = plan("-m", "model=popularity,mf", "trainer.lr=0.1", "negatives.n_negatives=2")
    assert made.jobs[0].resolved.not_applicable == ("trainer.lr", "negatives.n_negatives")
    assert made.jobs[1].resolved.not_applicable == ()


@pytest.mark.parametrize(
    ("n_runs", "n_jobs", "n_cores", "threads"),
    [
        (9, None, 8, None),
        (9, 1, 8, None),
        (1, 4, 8, None),
        (9, 4, 8, 2),
        (2, -1, 8, 4),
        (9, -1, 8, 1),
        (9, -3, 7, 1),
        (9, 16, 8, 1),
    ],
)
def test_threads_are_shared_by_the_runs_at_once(n_runs, n_jobs, n_cores, threads):
    assert threads_each(n_runs, n_jobs, n_cores) == threads


@pytest.mark.parametrize(
    ("launcher", "n_runs", "threads"),
    [
        ({"_target_": "a.BasicLauncher"}, 9, None),
        ({"_target_": "a.JoblibLauncher", "n_jobs": 4}, 9, 2),
        ({"_target_": "a.LocalLauncher"}, 4, 2),
        ({"_target_": "a.LocalLauncher"}, 20, 1),
        ({"_target_": "a.SlurmLauncher", "cpus_per_task": 6}, 9, 6),
        ({"_target_": "a.SlurmLauncher", "cpus_per_task": None}, 9, 1),
        ({"_target_": "a.RayLauncher", "ray": {"init": {}, "remote": {"num_cpus": 3}}}, 9, 3),
        ({"_target_": "a.RayLauncher", "ray": {"init": {}, "remote": {}}}, 9, 1),
    ],
)
def test_threads_of_a_job_by_launcher(monkeypatch, launcher, n_runs, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert threads_of_a_job(launcher, n_runs) == threads


def test_threads_are_given_where_none_are_typed(plan):
    def threads(*words):
        return [job.resolved.config.settings.threads for job in plan("-m", "seed=0,1", *words).jobs]

    together = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert threads() == [None, None]
    assert threads(*together) == [max(1, available_cores() // 2)] * 2
    assert threads("threads=3", *together) == [3, 3]


def test_hydras_values_can_be_referred_to(plan):
    made = plan("-m", "seed=0,1", "label=job_${hydra:job.num}", "hydra.sweep.subdir=${hydra.job.num}")
    assert [job.resolved.config.settings.label for job in made.jobs] == ["job_0", "job_1"]
    assert [job.folder.name for job in made.jobs] == ["0", "1"]


def test_the_same_sweep_has_the_same_folders_however_it_is_typed(plan):
    one = plan("-m", "model=mf,gmf", "seed=0,1", "model.dim=8")
    other = plan("-m", "++model.dim=8", "seed=0,1", "model=mf,gmf")
    assert one.folder == other.folder
    assert re.fullmatch(r"outputs/sweeps/[0-9a-f]{8}", str(one.folder))
    assert {job.folder for job in one.jobs} == {job.folder for job in other.jobs}
    assert plan("-m", "model=mf,gmf", "seed=0,2", "model.dim=8").folder != one.folder
    assert all(job.folder.parent == one.folder for job in one.jobs)


def test_a_job_keeps_its_folder_when_the_sweep_grows(plan):
    small = plan("-m", "seed=0", "hydra.sweep.dir=mine")
    large = plan("-m", "seed=0,1", "model.dim=64", "hydra.sweep.dir=mine")
    assert small.jobs[0].folder == large.jobs[0].folder
    assert large.folder == Path("mine")


def test_two_single_runs_never_share_a_folder(plan):
    one, other = plan("model=mf"), plan("model=mf")
    assert one.folder != other.folder
    assert re.fullmatch(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-mf-ml-100k-[0-9a-f]{8}-[0-9a-f]{6}", str(one.folder))
    # Hydra is told the folder, so that time and chance decide once.
    assert f"hydra.run.dir='{one.folder}'" in one.overrides or f"hydra.run.dir={one.folder}" in one.overrides
    assert plan("hydra.run.dir='my=runs/ö'").folder == Path("my=runs/ö")


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        ((), "mf-ml-100k"),
        (("seed=3", "model.dim=8", "trainer.lr=1e-2"), "mf-seed3-dim8-lr0.01-ml-100k"),
        (("model=neumf", "model.layers=[16,8]", "dataset=planted"), "neumf-layers_16_8-planted"),
        (("split=leave_one_out", "negatives=popularity"), "mf-popularity-leave_one_out-ml-100k"),
        (("label='a b/c'", "device=cpu", "threads=1", "tracking.tensorboard=false"), "mf-ml-100k"),
    ],
)
def test_a_folder_is_named_after_what_is_telling(plan, words, slug):
    config = only(plan(*words))
    name = job_name(config)
    assert name == f"{slug}-{config.identity[:8]}"
    assert re.fullmatch(r"[A-Za-z0-9.+_-]+", name) and len(name) <= 48 + 9


def test_a_long_name_is_cut_between_words(plan):
    options = [f"trainer.{key}" for key in ("epochs=12345", "batch_size=123456", "patience=1234", "clip_norm=1234.5")]
    name = job_name(only(plan(*options)))
    assert name.startswith("mf-epochs12345-patience1234-batch_size123456-") and len(name) <= 48 + 9


def test_a_part_that_is_registered_is_a_choice_with_its_defaults(plan):
    from recbench import datasets

    class RegisteredInTestConfig(Config):
        n: int = 3
        """A number."""

        needed: int
        """No default."""

    datasets.register("registered_in_test", config=RegisteredInTestConfig)(lambda config: None)
    words = ("dataset=registered_in_test", "dataset.needed=${dataset.n}")
    assert only(plan(*words)).dataset == RegisteredInTestConfig(n=3, needed=3)
    with pytest.raises(ConfigError, match="needed: is required and has no default"):
        plan("dataset=registered_in_test")


def test_config_shows_three_origins(command):
    write(
        "mine/experiment/table_3.yaml",
        "# @package _global_\ndefaults:\n  - override /split: leave_one_out\ntrainer:\n  epochs: 3\n  lr: 0.25\n",
    )
    ended = command("config", "--config-dir", "mine", "experiment=table_3", "model=mf", "trainer.lr=0.5")
    assert (ended.code, ended.err) == (0, "")
    origins = dict(re.fullmatch(r"(.+?) = .+?  # (.+)", line).groups() for line in ended.out.splitlines())
    values = dict(re.fullmatch(r"(.+?) = (.+?) +# .+", line).groups() for line in ended.out.splitlines())
    table = f"{Path('mine').resolve()}/experiment/table_3.yaml"
    assert origins["model.name"] == origins["trainer.lr"] == origins["experiment"] == "command line"
    assert origins["split.name"] == origins["trainer.epochs"] == table
    assert origins["dataset.name"] == origins["trainer.name"] == "conf/config.yaml"
    assert origins["model.dim"] == origins["seed"] == origins["trainer.optimizer"] == "default in the code"
    assert (values["trainer.lr"], values["trainer.epochs"], values["split.name"]) == ("0.5", "3", "leave_one_out")
    assert (values["trainer.name"], values["label"]) == ("gradient", "null")
    assert list(Path.cwd().iterdir()) == [Path.cwd() / "mine"]


def test_the_same_words_are_composed_once(monkeypatch):
    """What one caller changes, another does not see; other words, and words of another mode, are other questions."""
    composed = []
    compose = ConfigLoaderImpl._load_configuration_impl
    monkeypatch.setattr(
        ConfigLoaderImpl,
        "_load_configuration_impl",
        lambda self, *args, **flags: composed.append(args) or compose(self, *args, **flags),
    )
    with hydra_session() as session:
        first = composed_config(session, ["seed=1"], RunMode.RUN)
        first.seed = 5
        assert composed_config(session, ["seed=1"], RunMode.RUN).seed == 1
        assert len(composed) == 1
        assert composed_config(session, ["seed=2"], RunMode.RUN).seed == 2
        composed_config(session, ["seed=1"], RunMode.MULTIRUN)
        assert len(composed) == 3
        sent = pickle.loads(pickle.dumps(session.config_loader))
        assert sent._composed == {} and len(session.config_loader._composed) == 3


def test_the_oldest_compositions_are_forgotten(monkeypatch):
    monkeypatch.setattr("recbench.cli.session.MAX_REMEMBERED", 2)
    with hydra_session() as session:
        for seed in (1, 2, 3):
            composed_config(session, [f"seed={seed}"], RunMode.RUN)
        assert [key[1] for key in session.config_loader._composed] == ["seed=2", "seed=3"]


def test_a_sweep_composes_each_of_its_jobs_once(command, monkeypatch):
    composed = []
    compose = ConfigLoaderImpl._load_configuration_impl
    monkeypatch.setattr(
        ConfigLoaderImpl,
        "_load_configuration_impl",
        lambda self, name, words, *args, **flags: composed.append(words) or compose(self, name, words, *args, **flags),
    )
    assert command("run", "-m", "dataset=planted", "model=popularity", "seed=1,2,3").code == 0
    for seed in (1, 2, 3):
        assert sum(f"++seed={seed}" in words for words in composed) == 1
