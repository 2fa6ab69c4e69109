import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pipelines.bars import Bars
from pipelines.endpoint import Batcher, Limits, make_app, warm_up
from pipelines.experiment import run_experiment
from pipelines.predict import Predictor, without_store
from pipelines.run import read_run
from tests.extract.backbones.checkpoints import save_clip, save_timm
from tests.images import encoded, picture, write_image_folder


@pytest.fixture
def run(project):
    run_experiment(project / "config.yaml", None, "run", (), False, Bars(quiet=True), lambda note: None)
    return project / "run"


def client_of(run, **limits):
    saved = read_run(run)
    return TestClient(make_app(Predictor(saved, without_store(run, saved)), run.name, Limits(**limits)))


def ask(client, *inputs, **more):
    body = json.dumps({"inputs": list(inputs), **more})
    return client.post("/predict", content=body, headers={"content-type": "application/json"})


def test_texts_are_answered_in_order_and_bad_ones_with_a_reason(run):
    with client_of(run) as client:
        assert client.get("/health").json() == {
            "status": "ok", "run": "run", "task": "classification", "classes": ["bad", "good"], "takes": ["text"]
        }  # fmt: skip
        answers = ask(client, "good great", "", "awful", "\ud800 broken").json()["predictions"]
    assert [answer["label"] for answer in answers] == ["good", None, "bad", None]
    assert answers[1]["reason"] == "empty text"
    assert answers[0]["probabilities"]["good"] > 0.5
    assert "input" not in answers[0]


def test_what_is_no_question_is_refused(run):
    with client_of(run, items=3, body=2000) as client:
        assert ask(client, *["good"] * 4).status_code == 413
        assert ask(client, "x" * 3000).status_code == 413
        assert client.post("/predict", content=(part for part in [b"[" * 900] * 3)).status_code == 413
        for body, reason in (
            (b"", "the body: field required"),
            (b"{", "not JSON: "),
            (b"[" * 1900, ""),
            (b'{"inputs": []}', "inputs: list should have at least 1 item"),
            (b'{"inputs": ["a", 1]}', "inputs[1] is no text, no pair of texts and no image as base64"),
            (b'{"inputs": ["a"], "x": 1}', "x: extra inputs are not permitted"),
        ):
            refused = client.post("/predict", content=body, headers={"content-type": "application/json"})
            assert refused.status_code in (400, 422)
            assert refused.json()["detail"].startswith(reason)
        refused = ask(client, {"image": base64.b64encode(b"x").decode()})
        assert refused.status_code == 422
        assert refused.json()["detail"] == "inputs[0] is no input of this run; send a text"
        assert ask(client, "good").status_code == 200


def test_pictures_come_as_base64_and_a_path_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_timm(tmp_path / "model", "convnext")
    write_image_folder(tmp_path / "data", 40, splits=("train", "test"))
    config = {"name": "p", "data": {"path": "data"}, "backbones": ["timm:model"], "heads": [{"kind": "linear"}]}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    run_experiment(Path("c.yaml"), None, "run", (), False, Bars(quiet=True), lambda note: None)
    one = next((tmp_path / "data/test/dark").iterdir())
    with client_of(tmp_path / "run") as client:
        refused = ask(client, str(one))
        assert refused.status_code == 422
        assert "send {" in refused.json()["detail"]
        assert "not base64" in ask(client, {"image": "?"}).json()["detail"]
        content = base64.b64encode(one.read_bytes()).decode()
        broken = base64.b64encode(encoded(picture())[:40]).decode()
        answers = ask(client, {"image": content}, {"image": broken}).json()["predictions"]
    assert [answer["label"] for answer in answers] == ["dark", None]
    assert "not an image" in answers[1]["reason"]
    saved = read_run(tmp_path / "run")
    warm_up(Predictor(saved, without_store(tmp_path / "run", saved)))


def test_requests_that_come_together_are_answered_together():
    calls = []

    def answer(samples):
        calls.append(len(samples))
        time.sleep(0.05)
        return [{"label": sample} for sample in samples]

    async def scene():
        batcher = Batcher(answer, Limits(gather=0.02))
        running = asyncio.create_task(batcher.run())
        answers = await asyncio.gather(*(batcher.ask([f"{n}", f"{n}!"]) for n in range(10)))
        running.cancel()
        return answers

    answers = asyncio.run(scene())
    assert [[entry["label"] for entry in own] for own in answers] == [[f"{n}", f"{n}!"] for n in range(10)]
    assert len(calls) < 10


def test_a_full_queue_and_a_slow_answer_are_refused_and_others_go_on():
    free = threading.Event()

    def answer(samples):
        if "slow" in samples:
            free.wait(5)
        if "wrong" in samples:
            raise ValueError("no")
        return [{} for _ in samples]

    async def scene():
        batcher = Batcher(answer, Limits(seconds=0.3, waiting=2, gather=0))
        running = asyncio.create_task(batcher.run())
        slow = asyncio.create_task(batcher.ask(["slow"]))
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(batcher.ask(["good"])) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(asyncio.QueueFull):
            await batcher.ask(["good"])
        with pytest.raises(TimeoutError):
            await slow
        free.set()
        await asyncio.gather(*others, return_exceptions=True)
        with pytest.raises(ValueError, match="no"):
            await batcher.ask(["wrong"])
        assert await batcher.ask(["good"]) == [{}]
        running.cancel()

    asyncio.run(scene())


def test_one_callers_bad_sample_does_not_cost_the_others_their_answers():
    def answer(samples):
        if "wrong" in samples:
            raise ValueError("no")
        return [{"label": sample} for sample in samples]

    async def scene():
        batcher = Batcher(answer, Limits(gather=0.05))
        running = asyncio.create_task(batcher.run())
        answers = await asyncio.gather(batcher.ask(["good"]), batcher.ask(["wrong"]), return_exceptions=True)
        running.cancel()
        return answers

    good, wrong = asyncio.run(scene())
    assert good == [{"label": "good"}]
    assert isinstance(wrong, ValueError)


def test_a_backbone_of_several_towers_takes_what_the_head_was_trained_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_clip(tmp_path / "clip")
    write_image_folder(tmp_path / "data", 40, splits=("train", "test"))
    config = {"name": "p", "data": {"path": "data"}, "backbones": ["hf:clip"], "heads": [{"kind": "linear"}]}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    run_experiment(Path("c.yaml"), None, "run", (), False, Bars(quiet=True), lambda note: None)
    with client_of(tmp_path / "run") as client:
        assert client.get("/health").json()["takes"] == ["image"]
        assert "send {" in ask(client, "hello").json()["detail"]


@pytest.mark.slow
def test_the_command_answers_until_it_is_stopped(run, project):
    command = [sys.executable, "-m", "pipelines.cli", "serve", "run", "--port", "0", "--json"]
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(__file__)))}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project, env=environment
    ) as process:
        try:
            place = json.loads(process.stdout.readline())
            request = urllib.request.Request(
                f"http://127.0.0.1:{place['port']}/predict", b'{"inputs": ["good great"]}', {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                assert json.load(response)["predictions"][0]["label"] == "good"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) in (0, 130)
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def test_a_port_that_is_taken_is_one_line(headstart, run):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "nobody can listen there" in headstart("serve", "run", "--port", port, status=2).err
