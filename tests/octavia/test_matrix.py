# SPDX-License-Identifier: Apache-2.0
import pathlib
import subprocess
import sys


def test_the_matrix_is_what_the_results_make():
    script = pathlib.Path(__file__).with_name("matrix")
    done = subprocess.run([sys.executable, str(script), "--check"], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stdout
