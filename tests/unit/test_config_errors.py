"""A user's mistake: what is said, with exit code 2, and nothing has run."""

from pathlib import Path

import pytest

from recbench.cli.overrides import Overrides

MODELS = (
    "content_cosine, ease, gmf, ials, item_knn, mf, mlp, neumf, p3alpha, popularity, pure_svd, random, rp3beta, slim, "
    "user_knn"
)
SMALL = ("dataset=planted", "dataset.n_users=60", "dataset.n_items=40", "dataset.n_interactions=500")


@pytest.fixture
def error_of(command):
    """Return what standard error says of a command that must not run anything."""

    def run(*words):
        ended = command("run", *words)
        assert (ended.code, ended.out) == (2, "")
        assert list(Path.cwd().iterdir()) == []
        return ended.err

    return run


def test_all_mistakes_of_a_model_in_the_order_in_which_they_were_typed(error_of):
    assert error_of("model=neumf", "model.dmi=3", "model.dim=abc", "model.loss=brp") == (
        "error: model 'neumf' cannot be configured:\n"
        "  dmi = 3: no such option. Did you mean 'dim'? Known: alpha, dim, dropout, init_std, layers, loss, "
        "pretrained_gmf, pretrained_mlp, reg.\n"
        "  dim = 'abc': should be a whole number (an integer).\n"
        "  loss = 'brp': should be 'bce' or 'bpr'.\n"
    )


def test_one_bad_job_of_a_sweep_starts_nothing(error_of):
    assert error_of("-m", "model=mf", "model.dim=8,16,abc") == (
        "error: job 3 of 3: model 'mf' cannot be configured:\n  dim = 'abc': should be a whole number (an integer).\n"
    )


def test_a_name_that_does_not_exist(error_of):
    assert error_of("model=nuemf") == f"error: no model 'nuemf'. Did you mean 'neumf'? Known: {MODELS}.\n"
    assert error_of("-m", "model=mf,nuemf,popularty") == (
        f"error: no model 'nuemf'. Did you mean 'neumf'? Known: {MODELS}.\n"
        f"error: no model 'popularty'. Did you mean 'popularity'? Known: {MODELS}.\n"
    )
    assert error_of("trainer=gradeint") == (
        "error: no trainer 'gradeint'. Did you mean 'gradient'? Known: alternating, auto, closed_form, gradient.\n"
    )
    assert error_of("sweep=wide") == f"error: no sweep 'wide'. Known: auto, {MODELS}.\n"
    assert error_of("hydra/launcher=basik").startswith(
        "error: no hydra/launcher 'basik'. Did you mean 'basic'? Known: "
    )


@pytest.mark.parametrize(("name", "extra"), [("joblib", "sweep"), ("submitit_slurm", "slurm")])
def test_a_launcher_that_is_not_installed(error_of, monkeypatch, name, extra):
    """What is said of its options beside it is left out: without it nobody knows them."""
    choices = Overrides.choices
    monkeypatch.setattr(
        Overrides, "choices", lambda self, group: ["basic"] if group == "hydra/launcher" else choices(self, group)
    )
    assert error_of("-m", "seed=0,1", f"hydra/launcher={name}", "hydra.launcher.n_jobs=2") == (
        f"error: hydra/launcher={name}: is not installed; install it: pip install 'recbench[{extra}]'.\n"
    )


def test_what_hangs_on_a_name_that_does_not_exist_is_not_judged(error_of):
    said = error_of("model=nuemf", "model.layers=[1]", "trainer.lr=0", "split=randon", "split.x=1", "seed=x")
    assert [line.partition(".")[0] for line in said.splitlines()] == [
        "error: no model 'nuemf'",
        "error: no split 'randon'",
        "error: the run cannot be configured:",
        "  seed = 'x': should be a whole number (an integer)",
    ]


def test_a_choice_is_one_name(error_of):
    assert error_of("model=null") == f"error: model = None: should be one name. Known: {MODELS}.\n"
    assert error_of("model=[mf]").startswith("error: model = ['mf']: should be one name. Did you mean 'mf'? Known: ")


def test_mistakes_of_all_parts_and_jobs_come_together(error_of):
    assert error_of("-m", "dataset=plantde", "modle=mf", "seed=-1,0", "trainer.epochs=-1", "model.dim=") == (
        "error: no dataset 'plantde'. Did you mean 'planted'? Known: amazon-book, files, gowalla, ml-100k, "
        "ml-100k-mcrec, ml-1m, ml-1m-recbole, ml-20m, ml-32m, ml-latest-small, ncf-ml-1m, ncf-pinterest, planted, "
        "yelp2018.\n"
        "error: no option 'modle'. Did you mean 'model'? Known: backend, checkpoint_seconds, checkpoints, dataset, "
        "device, evaluation, experiment, fit_on, label, model, negatives, published, seed, split, threads, tracking, "
        "trainer, tuning.\n"
        "error: model 'mf' cannot be configured:\n  dim = '': should be a whole number (an integer).\n"
        "error: the run cannot be configured:\n  seed = -1: should be at least 0.\n"
        "error: trainer 'gradient' cannot be configured:\n  epochs = -1: should be at least 0.\n"
    )


def test_the_jobs_of_a_mistake_are_named(error_of):
    assert error_of("-m", "model=mf", "seed=0,1", "model.dim=0").startswith("error: all 2 jobs: model 'mf' cannot be")
    assert error_of("-m", "model=mf", "seed=range(8)", "model.dim=0,1").startswith(
        "error: 8 of 16 jobs (1, 3, 5, 7, 9, ...): model 'mf' cannot be configured:\n"
    )


def test_an_option_that_some_models_of_a_sweep_lack(error_of):
    assert error_of("-m", "model=mf,popularity,item_knn", "model.dim=8") == (
        "error: model.dim: no such option of item_knn, popularity; it is one of mf. In a sweep over several models, "
        "model.* must be options of all; sweep over these apart.\n"
    )
    assert "no such option. Known: none." in error_of("-m", "model=popularity,random", "model.dim=8")


def test_an_option_without_effect_on_the_only_model(error_of):
    assert error_of("model=popularity", "trainer.lr=0.1") == (
        "error: trainer.lr = 0.1 has no effect on model 'popularity', whose trainer is 'closed_form'.\n"
    )


def test_commas_without_a_sweep(error_of):
    assert error_of("seed=1,2") == (
        "error: seed=1,2 is a sweep: add -m to run all its values, or write seed=[1,2] for a list or 'seed=\"1,2\"' "
        "for a text.\n"
    )
    assert error_of("-m", "hydra.run.dir=a,b") == (
        "error: hydra.run.dir=a,b: Hydra's own options cannot be swept over; give one value.\n"
    )


@pytest.mark.parametrize(
    ("word", "right"),
    [
        ("label=a=b", "'label=\"a=b\"'"),
        ("dataset.path=/data/ä ö/x.csv", "'dataset.path=\"/data/ä ö/x.csv\"'"),
        ("label=a[1]", "'label=\"a[1]\"'"),
    ],
)
def test_how_to_quote(error_of, command, word, right):
    assert error_of(word) == (
        f"error: {word!r}: the value cannot be read. A text with '=', brackets, commas, quotes or letters beyond "
        f"English has quotes of its own inside those of the shell; write {right}.\n"
    )
    # What the shell makes of the advice is accepted as a value.
    taken = command("run", right.strip("'"), *SMALL, "--dry-run")
    assert "cannot be read" not in taken.err


def test_words_that_are_no_overrides(error_of):
    assert error_of("neumf") == "error: 'neumf' is no KEY=VALUE: did you mean model=neumf?\n"
    assert error_of("quickly") == (
        "error: 'quickly' is no KEY=VALUE: write KEY=VALUE, e.g. model=mf or model.dim=64.\n"
    )
    assert error_of("=3") == "error: '=3': the key is missing; write KEY=VALUE, e.g. model.dim=64.\n"
    assert error_of("mödel=mf") == "error: 'mödel=mf': the key 'mödel' cannot be; write KEY=VALUE, e.g. model.dim=64.\n"


def test_an_unknown_flag(error_of):
    assert error_of("--multrun").startswith("error: no flag '--multrun'. Did you mean '--multirun'? Known: --cfg, ")
    assert error_of("--plugin") == "error: argument --plugin: expected one argument. See 'recbench run --help'.\n"


def test_no_value_names_code(error_of):
    assert "_target_ = 'os.system': no such option." in error_of("model._target_=os.system")
    assert error_of("_target_=os.system").startswith("error: no option '_target_'. Did you mean ")


def test_an_experiment_is_chosen_and_never_set(error_of, command):
    assert "force-add of config groups is not supported: '++experiment=quickstart'" in error_of(
        "++experiment=quickstart"
    )
    assert error_of("trainer.selection=test").startswith("error: trainer.selection = 'test': is allowed only inside")
    folder = Path("mine", "experiment")
    folder.mkdir(parents=True)
    (folder / "sly.yaml").write_text("# @package _global_\nexperiment: table 2\n")
    ended = command("run", "experiment=sly", "--config-dir", "mine")
    assert (ended.code, ended.err) == (
        2,
        "error: experiment: is chosen by experiment=NAME, and no option that can be set.\n",
    )


def test_what_hydra_refuses(error_of):
    assert "Key 'dri' not in 'RunDir'" in error_of("hydra.run.dri=x")
    assert "Interpolation key 'nope' not found" in error_of("model.dim=${nope}")
    assert error_of("hydra/sweeper=basic", "hydra.sweeper._target_=mine", "-m") == (
        "error: hydra.sweeper._target_ = 'mine': names code to run, and only hydra/launcher=NAME and "
        "hydra/sweeper=NAME may choose some, among the installed ones; leave it out.\n"
    )


def test_folders_of_files(error_of, command):
    assert error_of("--config-dir", "nowhere") == "error: --config-dir 'nowhere': is no folder.\n"
    with pytest.warns(UserWarning, match="not available"):
        assert error_of("hydra.searchpath=[nowhere]") == "error: hydra.searchpath: 'nowhere' is no folder.\n"


@pytest.mark.parametrize("where", [("--config-dir", "mine"), ("hydra.searchpath=[mine]",)])
def test_a_file_in_the_place_of_a_registered_part(command, where):
    for name in ("model/mf.yaml", "trainer/auto.yaml"):
        Path("mine", name).parent.mkdir(parents=True)
        Path("mine", name).write_text("dim: 2\n")
    folder = Path("mine").resolve() if "--config-dir" in where else "mine"
    ended = command("run", *where)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"error: {folder}/model/mf.yaml shadows the registered model 'mf'; give the file another name and start it "
        "with 'defaults: [mf]'.\n"
        f"error: {folder}/trainer/auto.yaml shadows the registered trainer 'auto'; give the file another name and "
        "start it with 'defaults: [auto]'.\n"
    )


def test_a_folder_that_holds_a_run_is_not_touched(command):
    Path("mine").mkdir()
    Path("mine", "result.json").write_text("precious")
    ended = command("run", *SMALL, "model=popularity", "hydra.run.dir=mine")
    assert (ended.code, ended.err) == (
        2,
        "error: hydra.run.dir: mine already holds a run (result.json); choose another folder.\n",
    )
    assert [path.name for path in Path("mine").iterdir()] == ["result.json"]
    assert Path("mine", "result.json").read_text() == "precious"


def test_a_plugin_that_is_not_there(error_of):
    assert error_of("--plugin", "no.such.module") == (
        "error: --plugin 'no.such.module': no such module, neither installed nor in this folder; write its dotted "
        "name, e.g. --plugin my_models.\n"
    )


def test_other_commands(command):
    assert command("rnu").err == (
        "error: no command 'rnu'. Did you mean 'run'? Known: board, compare, config, data, doctor, evaluate, export, "
        "list, recommend, reproduce, run. See 'recbench --help'.\n"
    )
    assert command("list", "modles").err == (
        "error: nothing to list as 'modles'. Did you mean 'models'? Known: cleaning, datasets, losses, metrics, "
        "models, negatives, optimizers, splits, trainers.\n"
    )
    assert command("list", "models", "nuemf").err == (
        f"error: no model 'nuemf'. Did you mean 'neumf'? Known: {MODELS}.\n"
    )
    assert command("board", "nowhere").err == (
        "error: no TensorBoard events below 'nowhere'; 'recbench run' writes them below outputs, unless "
        "tracking.tensorboard=false.\n"
    )
    assert command("config", "model=mf", "model.dmi=3").code == 2
    assert command("compare", "nowhere").code == 2
    assert command("recommend", "nowhere", "--user", "1").code == 2
    assert command("recommend", "nowhere").err == (
        "error: one of the arguments --user --history --all-users is required. See 'recbench recommend --help'.\n"
    )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=range(0,1000000000000)", "is more than 100,000 values, and no sweep may have more jobs."),
        ("seed=shuffle(range(9000000000))", "is more than 100,000 values, and no sweep may have more jobs."),
        ("model=range(100001)", "is more than 100,000 values, and no sweep may have more jobs."),
        ("seed=range(5,1)", "holds no value; write range(START,STOP,STEP), STOP is not part of it."),
        ("seed=range(1,5,0)", "the step of a range should not be 0, and all three numbers should be finite."),
        ("trainer.lr=range(0,inf,0.1)", "the step of a range should not be 0, and all three numbers should be finite."),
    ],
)
def test_a_sweep_without_end_or_values(error_of, word, message):
    assert error_of("-m", word) == f"error: {word}: {message}\n"


def test_a_sweep_of_too_many_jobs(error_of):
    assert error_of("-m", "model.dim=range(1,3001)", "seed=range(0,3000)", "trainer.lr=0.1,0.2") == (
        "error: the sweep has 18,000,000 jobs, and should have 100,000 at most: take fewer values.\n"
    )
