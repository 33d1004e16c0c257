# SPDX-License-Identifier: Apache-2.0
"""The harness is that of the black-box tests."""

import importlib.util
import pathlib
import sys

API = pathlib.Path(__file__).resolve().parents[1] / "api"
sys.path.insert(0, str(API))

specification = importlib.util.spec_from_file_location("api_conftest", API / "conftest.py")
module = importlib.util.module_from_spec(specification)
specification.loader.exec_module(module)
globals().update({name: value for name, value in vars(module).items() if not name.startswith("__")})
