"""`python -m deploy.helm.render`: writes the manifests in deploy/kubernetes, from the chart. Needs `helm`.

A test compares them where there is helm; elsewhere chart.sha256 shows that neither it nor they have changed since.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CHART = HERE / "traksense-ingest"
DIRECTORY = HERE.parent / "kubernetes"
OLDEST = "1.29.0"  # as in Chart.yaml; some builds of helm take an older one for the default
DIGEST = DIRECTORY / "chart.sha256"

# By the chart's template: the file that it becomes.
FILES = {
    "scripts.yaml": "scripts.yaml",
    "receiver.yaml": "receiver.yaml",
    "writer.yaml": "writer.yaml",
    "toolbox.yaml": "toolbox.yaml",
    "network.yaml": "network.yaml",
    "migrate.yaml": "migrate/job.yaml",
    "console.yaml": "console/console.yaml",
    "monitoring.yaml": "monitoring/prometheus.yaml",
}
AUTOSCALING = {
    "receiver-autoscaling.yaml": "autoscaling/receiver.yaml",
    "writer-autoscaling.yaml": "autoscaling/writer.yaml",
}


def rendered() -> dict[str, str]:
    """The content of each file below deploy/kubernetes that is made here."""
    plain = HERE / "plain.yaml"
    return {
        **_files(FILES, template("-f", str(plain))),
        **_files(AUTOSCALING, template("-f", str(plain), "-f", str(HERE / "plain-autoscaling.yaml"))),
    }


def digests(manifests: dict[str, str]) -> str:
    """The content of chart.sha256: a line for the chart, and one for each manifest."""
    found = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in manifests.items()}
    return "".join(f"{value}  {name}\n" for name, value in {"the chart": digest(), **found}.items())


def committed() -> dict[str, str]:
    """What rendered() has made, as it is now."""
    return {path: (DIRECTORY / path).read_text() for path in (*FILES.values(), *AUTOSCALING.values())}


def template(*options: str) -> str:
    """What `helm template` prints. Raises CalledProcessError, whose stderr says what is wrong."""
    command = ["helm", "template", "traksense", str(CHART), "--namespace", "traksense"]
    command += ["--kube-version", OLDEST, *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603


def digest() -> str:
    """Of everything from which the manifests are made."""
    left_out = {"ci", "__pycache__"}
    files = (path for path in CHART.rglob("*") if path.is_file())
    texts = sorted(path for path in files if not left_out & {*path.relative_to(CHART).parts})
    linked = sorted((CHART / "files" / "rules").glob("*.yml"))  # rglob follows no links
    found = hashlib.sha256()
    for path in (*texts, *linked, *sorted(HERE.glob("plain*.yaml"))):
        found.update(f"{path.relative_to(HERE)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _files(names: dict[str, str], text: str) -> dict[str, str]:
    documents: dict[str, list[str]] = {}
    for part in re.split(r"^---\n", text, flags=re.MULTILINE)[1:]:
        source, _, document = part.partition("\n")
        documents.setdefault(source.rpartition("/")[2], []).append(
            re.sub(r" +$", "", document.strip(), flags=re.MULTILINE)
        )
    return {path: "\n---\n".join(documents[name]) + "\n" for name, path in names.items()}


def main() -> None:
    """Write them."""
    manifests = rendered()
    for path, text in manifests.items():
        (DIRECTORY / path).write_text(text)
    DIGEST.write_text(digests(manifests))


if __name__ == "__main__":
    main()
