"""Every known case of a training that fails, is killed or is asked to stop: what is kept, what is said, how it ends.

One test or more a case, numbered as in the project's list of cases: 41 to 46 and 49. What resuming does at each place
of a training and of a write is tested in ``test_checkpoints.py``; ``scripts/kill_harness`` kills real processes.
"""

import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stopping import Stopping, in_a_process
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recbench import load, negatives, resolve, run
from recbench.checkpoints import BEST, LAST, PREVIOUS, read_state
from recbench.configuration import Settings
from recbench.errors import DivergedError, RunError, StorageError
from recbench.files import load_plain, read_json, write_json
from recbench.negatives.uniform import UniformConfig
from recbench.report import read_run

DATA = {"name": "planted", "n_users": 30, "n_items": 40, "n_interactions": 300}
WORDS = ["dataset=planted", "dataset.n_users=30", "dataset.n_items=40", "dataset.n_interactions=300", "threads=1"]
SMALL = {"dataset": DATA, "tracking": {"tensorboard": False}, "threads": 1, "device": "cpu"}
TRAINER = {"epochs": 4, "batch_size": 32, "patience": None}


def config_of(model="mf", **rest):
    """Return an experiment, of 7 steps an epoch where nothing else is said."""
    options = {"model": {"name": "mf", "dim": 2}, "trainer": TRAINER} if model == "mf" else {"model": model}
    return resolve({**SMALL, **options, **rest}).config


@pytest.fixture
def stopping(untouched_registries):
    """Return what lets the next runs send themselves a signal: at which step of all, and which one."""

    @negatives.register("stopping", config=type("StoppingConfig", (UniformConfig,), {"__doc__": "As uniform."}))
    class Here(Stopping):
        """Draws uniformly, and stops the run."""

    def arm(step, number=signal.SIGINT):
        Here.step, Here.number = step, number

    return arm


def interrupted(folder, stopping, step=10, number=signal.SIGINT, **rest):
    """Run into a signal, and return the configuration."""
    config = config_of(negatives="stopping", **rest)
    stopping(step, number)
    with pytest.raises(KeyboardInterrupt):
        run(config, folder, progress=False)
    return config


def content(folder):
    """Return what must be the same to the last bit whatever happened on the way."""
    result = read_json(folder / "result.json")
    weights = load_plain(folder / "checkpoint.pt")["state_dict"]
    return {
        "status": result["status"],
        "metrics": result["metrics"],
        "best_epoch": result["best_epoch"],
        "weights": hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in weights.values())).hexdigest(),
        **{name: (folder / name).read_bytes() for name in ("metrics.jsonl", "per_user.csv.gz")},
    }


# 41


def test_case_41_loss_that_is_not_finite(tmp_path):
    """The loss becomes NaN or infinite. -> Training stops within 64 steps, naming epoch, step, learning rate and the
    ids of the batch (compiled loops: after the epoch, naming it), status `diverged`, exit code 3; the last good state
    is kept."""
    diverging = {"model": {"name": "mf", "loss": "mse"}, "trainer": {"optimizer": "sgd", "lr": 1e30, "batch_size": 32}}
    config = resolve({**SMALL, **diverging}).config
    with pytest.raises(DivergedError):
        run(config, tmp_path, progress=False)
    result = read_json(tmp_path / "result.json")
    assert result["status"] == "diverged"
    assert re.fullmatch(
        r"the loss of MF is no longer finite in epoch 1, in step \d of 7 \(lr 1e\+30\), whose pairs are "
        r"(\('u\d+', 'i\d+'\), ){4}\('u\d+', 'i\d+'\) and \d+ more\. Lower trainer\.lr, or set trainer\.clip_norm=1\.",
        result["error"]["message"],
    )
    with pytest.raises(RunError) as error:
        run(config, tmp_path, progress=False, resume=True)
    assert str(error.value) == f"the run {tmp_path} is 'diverged': there is nothing to go on with."


def test_case_41_the_last_good_state_is_kept(tmp_path, untouched_registries):
    """In the second epoch a batch breaks a parameter: what was kept of the steps before stays, and is finite."""

    @negatives.register("breaking", config=type("BreakingConfig", (UniformConfig,), {"__doc__": "As uniform."}))
    class Breaking(Stopping):
        """Breaks a parameter of the model that is trained."""

        left = 10

        def sample(self, users, positives, generator):
            type(self).left -= 1
            if type(self).left == 0:
                import gc

                from recbench.models.mf import MF

                for model in (found for found in gc.get_objects() if isinstance(found, MF)):
                    model.item.weight.data.fill_(torch.inf)
            return super().sample(users, positives, generator)

    with pytest.raises(DivergedError, match="in epoch 2, in step 3 of 7"):
        run(config_of(negatives="breaking", checkpoint_seconds=0), tmp_path, progress=False)
    state = read_state(tmp_path).state
    assert (len(state.curve), state.engine["within"]["step"]) == (1, 2)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.model.values())
    assert read_json(tmp_path / "result.json")["status"] == "diverged"


def test_case_41_is_exit_code_3(command):
    words = ("model=mf", "model.loss=mse", "trainer.optimizer=sgd", "trainer.lr=1e30", "trainer.batch_size=32")
    assert command("run", "-q", *WORDS, *words).code == 3


# 42


def test_case_42_killed_and_resumed_ends_with_the_same_bits(tmp_path, stopping):
    """The process is killed, at any step or while it writes. -> It goes on from a whole state and ends with the same
    bits; what was half written is removed.

    In processes of their own: killed at step 10 of 28, then 9 steps further on, then not.
    """
    config = config_of(negatives="stopping", checkpoint_seconds=0)

    def attempt(name, step):
        stopping(step, signal.SIGKILL)
        folder = tmp_path / name
        return in_a_process(lambda: run(config, folder, progress=False, resume=folder.exists()))

    for step, epochs in ((10, 1), (9, 2)):
        assert attempt("killed", step) == -signal.SIGKILL
        assert len(read_state(tmp_path / "killed").state.curve) == epochs
        assert read_json(tmp_path / "killed" / "status.json")["status"] == "running"
        assert read_run(tmp_path / "killed")["status"] == "dead"
    assert (attempt("killed", 0), attempt("whole", 0)) == (0, 0)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert read_json(tmp_path / "killed" / "result.json")["resumed"] == 2


def test_case_42_leftovers_of_a_write_are_removed(tmp_path, stopping):
    config = interrupted(tmp_path, stopping)
    (tmp_path / ".last.pt.0123456789abcdef.tmp").write_bytes(b"half a sta")
    run(config, tmp_path, progress=False, resume=True)
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))


# 43


def test_case_43_full_disk_while_a_state_is_kept(tmp_path, untouched_registries):
    """The disk is full, or the folder is gone. -> Old files stay whole, the error says how many bytes it takes and how
    many are free, the status is `failed`.

    A limit on the size of files stands for the full disk; it holds for the process, hence one of its own.
    """

    @negatives.register("filling", config=type("FillingConfig", (UniformConfig,), {"__doc__": "As uniform."}))
    class Filling(Stopping):
        """Leaves little room on the disk from a step on."""

        left = 10

        def sample(self, users, positives, generator):
            type(self).left -= 1
            if type(self).left == 0:
                resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
            return super().sample(users, positives, generator)

    config = config_of(model={"name": "mf", "dim": 256}, trainer=TRAINER, negatives="filling", checkpoint_seconds=0)
    assert in_a_process(lambda: run(config, tmp_path, progress=False)) == 1
    result = read_json(tmp_path / "result.json")
    assert (result["status"], result["error"]["type"]) == ("failed", "StorageError")
    told = re.fullmatch(
        re.escape(f"{tmp_path / LAST}: cannot be written (File too large).") + r" It takes ([\d,]+) bytes, and [\d,]+ "
        r"are free there\.",
        result["error"]["message"],
    )
    assert int(told[1].replace(",", "")) > 4 * (30 + 40) * 256
    assert not list(tmp_path.glob(".*.tmp"))
    # What was there before is whole, and the run goes on where there is room again.
    state = read_state(tmp_path).state
    assert (len(state.curve), state.engine["within"]["step"]) == (1, 2)
    Filling.left = 0
    run(config, tmp_path, progress=False, resume=True)
    run(config, tmp_path / "whole", progress=False)
    assert content(tmp_path) == content(tmp_path / "whole")


def test_case_43_curve_that_cannot_be_written(tmp_path):
    from recbench.report import RunFolder
    from recbench.trainers import EpochRecord

    with (
        Path("/dev/full").open("w", buffering=1) as full,
        pytest.raises(StorageError) as error,
        RunFolder(tmp_path / "run", config_of(), torch.device("cpu")) as folder,
    ):
        folder._tracker._curve = full
        folder.epoch(EpochRecord(1, {"loss": 0.5}))
    assert str(error.value) == f"{tmp_path / 'run' / 'metrics.jsonl'}: cannot be written (No space left on device)."


def test_case_43_folder_that_is_gone_while_training(tmp_path, untouched_registries):
    """As root a folder forbids nothing; that it is moved away does the same to whoever writes there."""

    @negatives.register("moving", config=type("MovingConfig", (UniformConfig,), {"__doc__": "As uniform."}))
    class Moving(Stopping):
        """Moves the run's folder away."""

        left = 10

        def sample(self, users, positives, generator):
            type(self).left -= 1
            if type(self).left == 0:
                (tmp_path / "run").rename(tmp_path / "moved")
            return super().sample(users, positives, generator)

    with pytest.raises(StorageError) as error:
        run(config_of(negatives="moving", checkpoint_seconds=0), tmp_path / "run", progress=False)
    assert " cannot be written (No such file or directory)." in str(error.value)
    assert any("This could not be recorded: " in note for note in error.value.__notes__)
    assert read_state(tmp_path / "moved").state.engine["within"]["step"] == 2


# 44


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_case_44_the_first_signal_ends_the_run_after_its_step(tmp_path, stopping, number):
    """SIGINT, SIGTERM or SIGUSR1, to a run or to a sweep with workers. -> The step is finished, the state kept, the
    status is `interrupted`, the exit code 130 (SIGINT) or 143, and the message says what to type; a second signal ends
    it at once. SIGUSR1 is left to a launcher that answers it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    config = interrupted(tmp_path, stopping, number=number)
    assert {number: signal.getsignal(number) for number in before} == before
    result = read_json(tmp_path / "result.json")
    assert (result["status"], read_json(tmp_path / "status.json")["status"]) == ("interrupted", "interrupted")
    state = read_state(tmp_path).state
    assert (len(state.curve), state.engine["within"]["step"]) == (1, 3), "step 10 of 7 an epoch"
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    run(config, tmp_path, progress=False, resume=True)
    stopping(0)
    run(config, tmp_path / "whole", progress=False)
    assert content(tmp_path) == content(tmp_path / "whole")
    assert {path.name for path in tmp_path.glob("*.pt")} == {"checkpoint.pt"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
def test_case_44_exit_codes_and_what_to_type(command, stopping, number, code):
    stopping(10, number)
    words = ("model=mf", "negatives=stopping", *(f"trainer.{key}={value}" for key, value in TRAINER.items()))
    words = tuple(word.replace("None", "null") for word in words)
    ended = command("run", "-q", *WORDS, *words, "hydra.run.dir=mine")
    assert (ended.code, ended.out) == (code, "")
    assert ended.err == "interrupted; what is done so far is in mine; to go on: recbench run --resume mine\n"
    ended = command("run", "-q", "--resume", "mine")
    assert (ended.code, ended.err) == (0, "") and "ndcg@10" in ended.out
    ended = command("run", "-q", "--resume", "mine")
    assert ended.code == 0 and "ndcg@10" in ended.out
    assert ended.err == "mine: is done already, there is nothing to resume.\n"


def test_case_44_a_sweep_stops_and_goes_on_when_typed_again(command, stopping):
    words = ("run", "-m", *WORDS, "model=mf", "negatives=stopping", "trainer.epochs=4", "trainer.batch_size=32")
    words += ("seed=0,1,2", "tracking.tensorboard=false")
    # 28 steps of the first job, then 10 of the second.
    stopping(38, signal.SIGTERM)
    ended = command(*words)
    assert ended.code == 143
    assert ended.err.splitlines()[-1].endswith("; typed again, the command goes on")
    statuses = {path.parent: json.loads(path.read_text())["status"] for path in Path("outputs").rglob("result.json")}
    assert sorted(statuses.values()) == ["done", "interrupted"]
    (second,) = (folder for folder, status in statuses.items() if status == "interrupted")
    assert len(read_state(second).state.curve) == 1
    assert "(was interrupted, goes on)" in command(*words, "--dry-run").out

    ended = command(*words)
    assert ended.code == 0
    assert ended.err.count("done already, skipped") == 1
    assert f"{second.name}: was interrupted, goes on\n" in ended.err
    assert f"[{second.name}] goes on after epoch 1\n" in ended.err
    results = [json.loads(path.read_text()) for path in Path("outputs").rglob("result.json")]
    assert [result["status"] for result in results] == ["done"] * 3
    assert sorted(result["resumed"] for result in results) == [0, 0, 1]

    words = [word for word in words[2:] if not word.startswith("seed=")]
    assert command("run", "-q", *words, "seed=1", "hydra.run.dir=whole").code == 0
    assert content(second) == content(Path("whole"))


SLOW = '''
import sys
from recbench import negatives
from recbench.negatives.uniform import Uniform, UniformConfig

class ToldConfig(UniformConfig):
    """As uniform."""

@negatives.register("told", config=ToldConfig)
class Told(Uniform):
    """Says that training is going on."""

    left = 20

    def sample(self, users, positives, generator):
        type(self).left -= 1
        if type(self).left == 0:
            print("training", file=sys.stderr, flush=True)
        return super().sample(users, positives, generator)
'''


def test_case_44_from_outside(tmp_path):
    """A process that trains without end is asked to stop, and goes on."""
    (tmp_path / "told.py").write_text(SLOW)
    words = [sys.executable, "-m", "recbench", "run", "--plugin", "told", *WORDS, "model=mf", "negatives=told"]
    words += ["trainer.epochs=1000000", "trainer.patience=null", "trainer.evaluate_every=1000000"]
    words += ["hydra.run.dir=mine", "tracking.tensorboard=false"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        line = next(line for line in process.stderr if line == "training\n")
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait() == 143, line + rest
    assert "to go on: recbench run --resume mine\n" in rest
    assert read_json(tmp_path / "mine" / "result.json")["status"] == "interrupted"
    assert len(read_state(tmp_path / "mine").state.curve) > 1


WAITING = '''
import sys
import time
from pathlib import Path
from recbench import negatives
from recbench.negatives.uniform import Uniform, UniformConfig

class WaitingConfig(UniformConfig):
    """As uniform."""

@negatives.register("waiting", config=WaitingConfig)
class Waiting(Uniform):
    """Waits, in its tenth step, for somebody to stop the run."""

    left = 10

    def sample(self, users, positives, generator):
        type(self).left -= 1
        if type(self).left == 0 and not Path("asked").exists():
            print("training", file=sys.stderr, flush=True)
            while not Path("asked").exists():
                time.sleep(0.01)
        return super().sample(users, positives, generator)
'''


def test_case_44_a_sweep_with_workers_keeps_the_state_of_each(tmp_path, command):
    """A Ctrl-C reaches the whole group of processes, and the workers a second time from the first of them."""
    (tmp_path / "waiting.py").write_text(WAITING)
    words = ["--plugin", "waiting", *WORDS, "model=mf", "negatives=waiting", "tracking.tensorboard=false"]
    words += ["trainer.epochs=4", "trainer.batch_size=32", "trainer.patience=null"]
    sweep = [sys.executable, "-m", "recbench", "run", "-m", *words, "seed=1,2,3", "hydra.sweep.dir=sweep"]
    sweep += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "threads=1"]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(sweep, cwd=tmp_path, start_new_session=True, **pipes) as process:
        for awaited in ("training\n", "training\n"):
            assert awaited in process.stderr
        os.killpg(process.pid, signal.SIGINT)
        assert any(line.startswith("stopping: ") for line in process.stderr)
        Path("asked").touch()
        rest = process.stderr.read()
        assert process.wait() == 130, rest
    assert rest == "interrupted; what is done so far is in sweep; typed again, the command goes on\n"
    folders = {read_json(path)["seed"]: path.parent for path in Path("sweep").rglob("result.json")}
    assert sorted(folders) == [1, 2] and len(list(Path("sweep").glob("*/"))) == 2, "the third was not begun"
    for folder in folders.values():
        assert read_json(folder / "result.json")["status"] == "interrupted"
        assert read_state(folder).state.engine["within"]["step"] == 3, "step 10 of 7 an epoch"

    done = subprocess.run(sweep, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(Path("sweep").rglob("result.json"))) == 3
    assert command("run", "-q", *words, "seed=2", "hydra.run.dir=whole").code == 0
    assert read_json(folders[2] / "result.json")["resumed"] == 1
    assert content(folders[2]) == content(Path("whole"))


def test_case_44_in_a_thread_signals_are_left_alone(tmp_path):
    ended = []
    thread = threading.Thread(target=lambda: ended.append(run(config_of(), tmp_path, progress=False)))
    thread.start()
    thread.join()
    assert read_json(tmp_path / "result.json")["status"] == "done" and len(ended) == 1


def test_case_44_a_model_in_closed_form_starts_anew_and_says_so(tmp_path, caplog, stopping):
    config = config_of("item_knn")
    run(config, tmp_path, progress=False)
    (tmp_path / "result.json").unlink()
    status = read_json(tmp_path / "status.json")
    write_json(tmp_path / "status.json", status | {"status": "running"})
    run(config, tmp_path, progress=False, resume=True)
    assert "no state of the training was kept: it starts anew" in caplog.text
    assert read_json(tmp_path / "result.json")["status"] == "done"


# 45


@pytest.mark.parametrize("how", ["cut", "flip"])
def test_case_45_damaged_checkpoint_falls_back_to_the_previous(tmp_path, stopping, caplog, how):
    """The newest state of a training is truncated or has a flipped bit. -> Its checksum tells; the one before is taken
    with a warning, and where all are damaged nothing is changed."""
    config = interrupted(tmp_path, stopping, checkpoint_seconds=0)
    packed = bytearray((tmp_path / LAST).read_bytes())
    packed[len(packed) // 3] ^= 16
    (tmp_path / LAST).write_bytes(packed if how == "flip" else packed[:-1])
    run(config, tmp_path, progress=False, resume=True)
    assert f"{tmp_path / LAST}: is damaged: " in caplog.text
    assert "It goes on from the state before, previous.pt." in caplog.text
    stopping(0)
    run(config, tmp_path / "whole", progress=False)
    assert content(tmp_path) == content(tmp_path / "whole")


def test_case_45_all_damaged_is_an_error_and_changes_nothing(tmp_path, stopping):
    config = interrupted(tmp_path, stopping, checkpoint_seconds=0)
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"\0" * 100)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RunError, match=r"cannot be resumed: .*last\.pt: is damaged: .*previous\.pt: is damaged: "):
        run(config, tmp_path, progress=False, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# 46


def all_but_the_log(folder):
    return {path: path.read_bytes() for path in folder.iterdir() if path.name != "run.log"}


def refusal(config, folder):
    before = all_but_the_log(folder)
    with pytest.raises(RunError) as error:
        run(config, folder, progress=False, resume=True)
    assert all_but_the_log(folder) == before, "nothing is changed"
    head, tail = f"the run {folder} cannot be resumed: ", ". Bring back what was, or run the experiment anew, in "
    text = str(error.value)
    assert text.startswith(head) and text.endswith(f"{tail}another folder.")
    return text.removeprefix(head).removesuffix(f"{tail}another folder.")


def test_case_46_other_options_are_refused_by_name(tmp_path, stopping):
    """A run is resumed with other options, data, code or machine. -> Refused, naming each difference; what cannot
    change a number may differ."""
    config = interrupted(tmp_path, stopping)
    other = replace(config, trainer=config.trainer.model_copy(update={"lr": 0.2}))
    assert refusal(other, tmp_path) == "trainer.lr was 0.1, and is 0.2 now"
    other = replace(config, settings=config.settings.model_copy(update={"threads": 2}))
    assert refusal(other, tmp_path) == "threads was 1, and is 2 now"


def test_case_46_options_without_effect_on_the_numbers_may_differ(tmp_path, stopping):
    config = interrupted(tmp_path, stopping)
    settings = Settings(threads=1, device="cpu", label="mine", checkpoints="last", checkpoint_seconds=0.0)
    run(replace(config, settings=settings), tmp_path, progress=False, resume=True)
    assert read_json(tmp_path / "result.json")["status"] == "done"
    assert (tmp_path / LAST).exists()


@pytest.mark.parametrize(
    ("name", "before", "told"),
    [
        ("code", "0.0.9+" + "ab" * 32, r"code was 0\.0\.9\+abababababab\.\.\., and is 0\.1\.0\+[0-9a-f]{12}\.\.\. now"),
        ("device", "cuda:0", "device was cuda:0, and is cpu now"),
        ("threads", 7, "threads was 7, and is 1 now"),
        ("machine", "m68k", "machine was m68k, and is .* now"),
        ("torch", "1.0", "torch was 1.0, and is .* now"),
    ],
)
def test_case_46_other_circumstances_are_refused_by_name(tmp_path, stopping, name, before, told):
    config = interrupted(tmp_path, stopping)
    record = read_json(tmp_path / "run.json")
    place = {"code": record["fingerprints"], "torch": record["versions"]}.get(name, record)
    place[name] = before
    write_json(tmp_path / "run.json", record)
    assert re.fullmatch(told, refusal(config, tmp_path))


def test_case_46_an_edited_configuration_is_refused(command, stopping):
    stopping(10)
    assert command("run", *WORDS, "model=mf", "negatives=stopping", "hydra.run.dir=mine").code == 130
    path = Path("mine/config.yaml")
    path.write_text(path.read_text().replace("lr: 0.1\n", "lr: 0.2\n"))
    ended = command("run", "--resume", "mine")
    assert ended.code == 2
    assert "mine cannot be resumed: config.yaml is no longer what it was begun with. Bring back" in ended.err


def test_case_46_other_data_is_refused(tmp_path, stopping):
    pairs = "".join(f"u{user},i{user * step % 17}\n" for user in range(1, 20) for step in range(1, 9))
    (tmp_path / "data.csv").write_text("user,item\n" + pairs)
    dataset = {"name": "files", "interactions": str(tmp_path / "data.csv"), "duplicates": "first"}
    folder = tmp_path / "run"
    config = interrupted(folder, stopping, step=3, dataset=dataset)
    (tmp_path / "data.csv").write_text("user,item\n" + pairs + "u1,i99\n")
    assert re.fullmatch(r"data was [0-9a-f]{12}\.\.\., and is [0-9a-f]{12}\.\.\. now", refusal(config, folder))
    assert read_json(folder / "result.json")["status"] == "interrupted"


def test_case_46_a_sweep_runs_anew_what_was_interrupted_with_other_code(command, stopping):
    words = ("run", "-m", *WORDS, "model=mf", "negatives=stopping", "trainer.epochs=2")
    stopping(2)
    assert command(*words).code == 130
    (path,) = Path("outputs").rglob("run.json")
    record = read_json(path)
    record["fingerprints"]["code"] = "0.0.9+" + "ab" * 32
    write_json(path, record)
    ended = command(*words)
    assert ended.code == 0
    assert f"{path.parent.name}: interrupted before, and code was 0.0.9+abababababab..., and is 0.1.0+" in ended.err
    assert path.parent.with_name(f"{path.parent.name}.old-1").joinpath(LAST).exists()


# 46: what else --resume says


@pytest.mark.parametrize("words", [("model.dim=3",), ("-m",), ("--dry-run",)])
def test_resume_takes_the_run_as_it_was_configured(command, words):
    ended = command("run", "--resume", "mine", *words)
    assert ended.code == 2
    assert ended.err == (
        f"error: --resume mine: goes on with the run as it was configured; leave out {words[0]!r}. A sweep goes on "
        "when its command is typed again.\n"
    )


def test_resume_of_what_is_no_run(command):
    ended = command("run", "--resume", "nowhere")
    assert (ended.code, ended.err) == (
        2,
        "error: nowhere/status.json: cannot be read (No such file or directory).\n",
    )


def test_resume_of_a_run_that_is_going_on(tmp_path, stopping):
    from filelock import FileLock

    config = interrupted(tmp_path, stopping)
    with FileLock(tmp_path / ".lock"), pytest.raises(RunError) as error:
        run(config, tmp_path, progress=False, resume=True)
    assert str(error.value) == f"the run {tmp_path} is going on, in another process."


def test_resume_of_a_run_that_is_done_in_python(tmp_path):
    run(config_of(), tmp_path, progress=False)
    with pytest.raises(RunError) as error:
        run(config_of(), tmp_path, progress=False, resume=True)
    assert str(error.value) == f"the run {tmp_path} is 'done': there is nothing to go on with."


# 49


def test_case_49_two_runs_in_one_second(command):
    """Two runs start in the same second. -> Each has a folder of its own, and one that holds a run takes no other."""
    folders = {command("run", *WORDS, "model=popularity", "--dry-run").out.splitlines()[2].split()[1] for _ in range(3)}
    assert len(folders) == 3
    (name,) = {re.sub("-[0-9a-f]{6}$", "", Path(folder).name).partition("-popularity")[2] for folder in folders}
    assert re.fullmatch(r"-planted-[0-9a-f]{8}|.*-[0-9a-f]{8}", name)


def test_case_49_a_folder_that_holds_a_run_takes_no_other(tmp_path):
    run(config_of("popularity"), tmp_path, progress=False)
    with pytest.raises(RunError, match=r"already holds a run \(result\.json\); choose another one"):
        run(config_of("popularity"), tmp_path, progress=False)


# What is written besides


@pytest.mark.parametrize("checkpoints", ["best", "last", "none"])
def test_what_is_kept_when_a_run_is_done(tmp_path, checkpoints):
    run(config_of(checkpoints=checkpoints, checkpoint_seconds=0), tmp_path, progress=False)
    kept = {"best": {"checkpoint.pt"}, "last": {"checkpoint.pt", LAST, PREVIOUS, BEST}, "none": set()}
    assert {path.name for path in tmp_path.glob("*.pt")} == kept[checkpoints]
    assert len(list(tmp_path.glob("*.sha256"))) == len(kept[checkpoints])


def test_without_checkpoints_nothing_can_be_recommended_and_a_run_starts_anew(tmp_path, stopping, caplog):
    config = interrupted(tmp_path, stopping, checkpoints="none")
    assert not list(tmp_path.glob("*.pt"))
    run(config, tmp_path, progress=False, resume=True)
    assert "no state of the training was kept: it starts anew" in caplog.text
    with pytest.raises(RunError) as error:
        load(tmp_path)
    assert str(error.value) == f"the run {tmp_path} was made with checkpoints=none, and keeps no model."


def test_checkpoints_change_no_bit_of_a_run(tmp_path):
    folders = {name: tmp_path / name for name in ("usual", "often")}
    run(config_of(), folders["usual"], progress=False)
    run(config_of(checkpoint_seconds=0), folders["often"], progress=False)
    assert content(folders["usual"]) == content(folders["often"])


def test_the_order_of_a_sweep_changes_no_bit(command):
    found = []
    for models in ("mf,item_knn", "item_knn,mf"):
        words = [*WORDS, f"model={models}", "trainer.epochs=2", "tracking.tensorboard=false"]
        assert command("run", "-m", "-q", *words, f"hydra.sweep.dir={models[:2]}").code == 0
        found.append({path.parent.name: content(path.parent) for path in Path(models[:2]).rglob("result.json")})
    assert len(found[0]) == 2 and found[0] == found[1]


def test_no_point_is_there_twice_after_a_resume(tmp_path, stopping):
    config = interrupted(tmp_path, stopping, step=17, tracking={"tensorboard": True}, checkpoint_seconds=3600)
    # As after a kill: the curve is further on than the state.
    state = read_state(tmp_path).state
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "loss": 0.1}\n{"epoch": 4, "lo')
    run(config, tmp_path, progress=False, resume=True)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert lines[1] == {"epoch": 2, **state.curve[1].values}
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    events.Reload()
    for tag in ("train/loss", "train/lr", "valid/ndcg@10"):
        assert [event.step for event in events.Scalars(tag)] == [1, 2, 3, 4]
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx([line["loss"] for line in lines])


def test_a_resumed_run_keeps_its_start_and_adds_up_its_time(tmp_path, stopping):
    config = interrupted(tmp_path, stopping)
    begun = read_json(tmp_path / "run.json")
    assert begun["resumed"] == []
    run(config, tmp_path, progress=False, resume=True, not_applicable=())
    record, result = read_json(tmp_path / "run.json"), read_json(tmp_path / "result.json")
    assert record["started"] == begun["started"] == result["started"] and len(record["resumed"]) == 1
    assert result["resumed"] == 1 and result["seconds"]["total"] > result["seconds"]["fit"]
    log = (tmp_path / "run.log").read_text()
    assert " INFO " in log and "goes on after epoch 1" in log and "interrupted" in log
