"""The job and the image of docs/kubernetes: what a cluster would refuse is found here."""

import copy
import pathlib
import re

import kubernetes_validate
import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[1]
PLACE = ROOT / "docs" / "kubernetes"
JOB = yaml.safe_load((PLACE / "job.yaml").read_text())
VERSION = kubernetes_validate.latest_version()


def test_the_job_fits_the_schema():
    kubernetes_validate.validate(JOB, VERSION, strict=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "completionmode"), "Indexed"),
        (("spec", "template", "spec", "containers", 0, "volumeMounts"), {"data": "/data"}),
    ],
)
def test_a_job_that_does_not_is_found(path, value):
    """The control.."""
    wrong = copy.deepcopy(JOB)
    place = wrong
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_the_job_runs_what_there_is_and_only_reads_its_data():
    spec = JOB["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "trainers.sweep"]
    flags = dict(each.removeprefix("--").split("=", 1) for each in container["args"])
    assert (ROOT / flags["config"]).is_file()
    mounts = {
        mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]
    }
    assert mounts[flags["data_dir"]] and not mounts["/results"]
    assert flags["begin"] == f"$(JOB_COMPLETION_INDEX)/{spec['completions']}"
    ignored, failed = spec["podFailurePolicy"]["rules"]
    assert (ignored["action"], failed["action"]) == ("Ignore", "FailIndex")
    assert failed["onExitCodes"]["values"] == [1, 2]
    assert failed["onExitCodes"]["containerName"] == container["name"]
    # As the API server wants it where a policy is given.
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_the_image_has_what_the_job_runs():
    text = (PLACE / "Dockerfile").read_text()
    copied = {
        name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()
    }
    assert {"keras_sched", "trainers", "configs", "setup.cfg", "pyproject.toml"} <= copied
    assert all((ROOT / name).exists() for name in copied)
    assert f"WORKDIR {JOB['spec']['template']['spec']['containers'][0]['workingDir']}" in text
    assert "USER 1000" in text
