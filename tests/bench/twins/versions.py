"""Prints the versions of Python and of the peers that it has, as a JSON object."""

import importlib.metadata
import json
import platform

PEERS = ["numpy", "scipy", "scikit-surprise", "scikit-learn", "implicit"]

versions = {"python": platform.python_version()}
for name in PEERS:
    try:
        versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(versions))
