"""What a profile needs that is not part of the course: the files of its lessons, exercises and capstone."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.files.downloads import SOURCES, Source
from helpers.files.weights import WEIGHTS, weights_source
from helpers.profiles import Profile

IMAGES = "datasets/cifar10.npz"  # CIFAR-10, as a bundle holds it
COMPARED = ("mobilenet", "mobilenet_v2")  # lesson 18
CAPSTONE = "vgg16"  # lessons 11 and 18
WITHOUT_IT = "lesson 11 takes another network, lesson 18 leaves it out"  # without what is optional
POOL = 15_000  # lesson 09 draws its labels from so many pictures, where a profile has 1,000 labels of each class


@dataclass(frozen=True)
class Need:
    """One file, or one hub module.

    Attributes:
        packed: files of a bundle, such as "models/x.h5"; any one of them serves.
        source: where the file comes from; None for a hub module.
        handles: of the hub module, the first that is to be had serves; empty for a file.
        optional: whether all lessons can do without it; see ``WITHOUT_IT``.
    """

    packed: tuple[str, ...]
    source: Source | None = None
    handles: tuple[str, ...] = ()
    optional: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where on the network it may be had."""
        return self.source.urls if self.source else tuple(handle for handle in self.handles if "://" in handle)


def training_images_of(profile: Profile) -> int:
    """Return how many training images the lessons of a profile use together with those that choose."""
    pool = POOL if profile.train_size >= 10_000 else 0
    return max(pool, profile.train_size) + profile.validation_size


def needs_of(profile: Profile) -> list[Need]:
    """Return what a profile needs: data, weights, hub module; nothing for a profile that is embedded in the course."""
    needs = []
    if profile.dataset == "cifar10":
        archive = SOURCES["cifar10"]
        needs.append(Need((IMAGES, f"datasets/{archive.name}"), archive))
    if profile.backbone in WEIGHTS:
        alpha = profile.alphas.get(profile.backbone)
        for top in (False, True):
            needs.append(need_of(weights_source(profile.backbone, alpha, top=top)))
        needs.append(need_of(SOURCES["imagenet_classes"]))
    if any("://" in handle for handle in profile.hub_modules):
        names = [handle for handle in profile.hub_modules if "://" not in handle]
        needs.append(Need(tuple(f"hub/{name}/saved_model.pb" for name in names), handles=profile.hub_modules))
    if not profile.stand_ins:
        alphas = {name: profile.alphas.get(name, WEIGHTS[name].alphas[0]) for name in COMPARED}
        compared = [need_of(weights_source(name, alpha)) for name, alpha in alphas.items()]
        needs += [need for need in compared if need not in needs]
        needs.append(need_of(weights_source(CAPSTONE), optional=True))
    return needs


def need_of(source: Source, optional: bool = False) -> Need:
    """Return the need for one file."""
    return Need((f"{source.kind}/{source.name}",), source, optional=optional)
