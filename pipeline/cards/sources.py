"""Whose footage it is: terms, persons and citation of each source dataset, and how each of these is known.

What stands here was read in the owners' own texts where `basis` says so, and nowhere else. It is no legal advice: what
counts are the terms that the holder of a copy agreed to.
"""

from dataclasses import dataclass

UNCONFIRMED = "not confirmed; read the terms you agreed to"


@dataclass(frozen=True)
class Stated:
    """A statement as whole sentences, and where it comes from."""

    text: str
    basis: str


@dataclass(frozen=True)
class Source:
    """A source dataset.

    - `title`, `homepage` (URL; None without one), `citation` (its paper; None without one).
    - `terms`: who may use it and pass it on. `agreement`: whether access is granted only to those who agree to the
      owners' terms, so that nobody else may give out what was made from it under a public licence.
    - `license`: SPDX identifier of a public licence that covers everything made from it; None where there is none.
    - `people`: who is shown, and whether they agreed. `rendered`: nobody is, the persons are computed.
    """

    title: str
    homepage: str | None
    citation: str | None
    terms: Stated
    people: Stated
    agreement: bool = False
    license: str | None = None
    rendered: bool = False


_CELEB_PEOPLE = (
    "Celebrities and other people in videos from YouTube. They were not asked. The owners remove a person who asks."
)
_CELEB_V1 = "github.com/yuezunli/celeb-deepfakeforensics, README.md"
_FACE_FORENSICS = Stated(
    "Given out to those who sign the FaceForensics Terms of Use; the MIT licence of the owners' repository covers code "
    "alone. Videos may not be passed on.",
    "github.com/ondyari/FaceForensics, README.md, for the first; the owners of DeeperForensics-1.0, who give the "
    "agreement as the reason why they pass none on, for the second. The terms themselves were not read",
)
_FACE_FORENSICS_PAPER = (
    "Rössler et al.: FaceForensics++: Learning to Detect Manipulated Facial Images. ICCV 2019. arXiv:1901.08971"
)
_YOUTUBE_PEOPLE = Stated(
    "People in 977 videos from YouTube. They were not asked.",
    "github.com/ondyari/FaceForensics, README.md, for the origin; github.com/DASH-Lab/FakeAVCeleb, README.md, which "
    "counts no agreeing subject",
)


def _celeb(title: str) -> Source:
    return Source(
        title=title,
        homepage="https://github.com/yuezunli/celeb-deepfakeforensics",
        citation="Li et al.: Celeb-DF: A Large-scale Challenging Dataset for DeepFake Forensics. CVPR 2020. "
        "arXiv:1909.12962",
        terms=Stated(
            "Given out on request under the owners' Terms to Use Celeb-DF. Take it that it is for research only and "
            "may not be passed on.",
            f"{_CELEB_V1}, for the first. The terms themselves were not read; the second is {UNCONFIRMED}",
        ),
        people=Stated(_CELEB_PEOPLE, f"{_CELEB_V1}; github.com/DASH-Lab/FakeAVCeleb, README.md, on consent"),
        agreement=True,
    )


def _dfdc(title: str, actors: str, citation: str) -> Source:
    return Source(
        title=title,
        homepage="https://ai.facebook.com/datasets/dfdc",
        citation=citation,
        terms=Stated(
            "Given out by Meta (Facebook) to those who agree to the dataset's licence. Take it that it may not be "
            "passed on.",
            f"deepfakedetectionchallenge.ai/faqs for the first. The licence was not read; the second is {UNCONFIRMED}",
        ),
        people=Stated(
            f"{actors} who agreed that their faces are used and changed for this dataset.",
            f"the abstract of the paper ({citation.rsplit(' ', 1)[1]})",
        ),
        agreement=True,
    )


SOURCES: dict[str, Source] = {
    "celeb_df_v1": _celeb("Celeb-DF v1"),
    "celeb_df_v2": _celeb("Celeb-DF v2"),
    "celeb_df_pp": Source(
        title="Celeb-DF++",
        homepage="https://github.com/OUC-VAS/Celeb-DF-PP",
        citation="Li et al.: Celeb-DF++: A Large-scale Challenging Video DeepFake Benchmark for Generalizable "
        "Forensics. 2025. arXiv:2507.18015",
        terms=Stated(
            "Given out on request under the owners' Terms to Use Celeb-DF++. Take it that it is for research only and "
            "may not be passed on.",
            "github.com/OUC-VAS/Celeb-DF-PP, README.md, for the first. The terms themselves were not read; the second "
            f"is {UNCONFIRMED}",
        ),
        people=Stated(
            _CELEB_PEOPLE,
            "github.com/OUC-VAS/Celeb-DF-PP, README.md; github.com/DASH-Lab/FakeAVCeleb, README.md, on consent",
        ),
        agreement=True,
    ),
    "ffpp": Source(
        title="FaceForensics++",
        homepage="https://github.com/ondyari/FaceForensics",
        citation=_FACE_FORENSICS_PAPER,
        terms=_FACE_FORENSICS,
        people=_YOUTUBE_PEOPLE,
        agreement=True,
    ),
    "ffpp_frames": Source(
        title="FaceForensics++ frames on Kaggle",
        homepage="https://www.kaggle.com/datasets/fatimahirshad/faceforensics-extracted-dataset-c23",
        citation=_FACE_FORENSICS_PAPER,
        terms=Stated(
            f"Frames of FaceForensics++ that somebody else put on Kaggle. The terms of FaceForensics++ hold for them. "
            f"{_FACE_FORENSICS.text}",
            f"{_FACE_FORENSICS.basis}. What the page on Kaggle says is {UNCONFIRMED}",
        ),
        people=_YOUTUBE_PEOPLE,
        agreement=True,
    ),
    "dfd": Source(
        title="DeepFakeDetection",
        homepage="https://github.com/ondyari/FaceForensics",
        citation="Dufour, Gully: Contributing Data to Deepfake Detection Research. Google AI Blog, 24 September 2019",
        terms=Stated(
            f"Part of the release of FaceForensics++. {_FACE_FORENSICS.text}",
            f"Google AI Blog, 24 September 2019, for the first. {_FACE_FORENSICS.basis}",
        ),
        people=Stated(
            "28 actors who were paid and agreed.",
            "the Google AI Blog of 24 September 2019, as the press quoted it",
        ),
        agreement=True,
    ),
    "deeperforensics": Source(
        title="DeeperForensics-1.0",
        homepage="https://github.com/EndlessSora/DeeperForensics-1.0",
        citation="Jiang et al.: DeeperForensics-1.0: A Large-Scale Dataset for Real-World Face Forgery Detection. "
        "CVPR 2020. arXiv:2001.03024",
        terms=Stated(
            "Given out on request, after its Terms of Use, for non-commercial research. Take it that it may not be "
            "passed on. The real videos are FaceForensics++'s, whose own terms forbid it.",
            "github.com/EndlessSora/DeeperForensics-1.0, README.md and dataset/README.md. The Terms of Use were not "
            f"read; the second sentence is {UNCONFIRMED}",
        ),
        people=Stated(
            "The faces put in are those of 100 actors who were paid and agreed. The videos they were put into show "
            "people from YouTube, who were not asked.",
            "github.com/EndlessSora/DeeperForensics-1.0, dataset/README.md; for the second see FaceForensics++",
        ),
        agreement=True,
    ),
    "dfdc": _dfdc(
        "DFDC",
        "Paid actors",
        "Dolhansky et al.: The DeepFake Detection Challenge (DFDC) Dataset. 2020. arXiv:2006.07397",
    ),
    "dfdc_preview": _dfdc(
        "DFDC Preview",
        "Actors",
        "Dolhansky et al.: The Deepfake Detection Challenge (DFDC) Preview Dataset. 2019. arXiv:1910.08854",
    ),
    "fakeavceleb": Source(
        title="FakeAVCeleb v1.2",
        homepage="https://github.com/DASH-Lab/FakeAVCeleb",
        citation="Khalid et al.: FakeAVCeleb: A Novel Audio-Video Multimodal Deepfake Dataset. NeurIPS Datasets and "
        "Benchmarks 2021. arXiv:2108.05080",
        terms=Stated(
            "Given out on request under the owners' request form; the MIT licence of their repository covers code "
            "alone. Take it that it may not be passed on.",
            "github.com/DASH-Lab/FakeAVCeleb, README.md, for the first. The form was not read; the second is "
            f"{UNCONFIRMED}",
        ),
        people=Stated(
            "500 celebrities in videos from YouTube, taken from VoxCeleb2. They were not asked.",
            "the owners' page (sites.google.com/view/fakeavcelebdash-lab) for the origin; github.com/DASH-Lab/"
            "FakeAVCeleb, README.md, which counts no agreeing subject",
        ),
        agreement=True,
    ),
    "wilddeepfake": Source(
        title="WildDeepfake",
        homepage="https://github.com/OpenTAI/wild-deepfake",
        citation="Zi et al.: WildDeepfake: A Challenging Real-World Dataset for Deepfake Detection. ACM Multimedia "
        "2020. arXiv:2101.01456",
        terms=Stated(
            "Collected from the Internet. A copy by its present keeper on Hugging Face (xingjunm/WildDeepfake) is "
            "marked Apache-2.0, which cannot stand for those who made or are shown in the videos.",
            "github.com/OpenTAI/wild-deepfake, README.md, and the listing on Hugging Face. Whether it may be passed on "
            f"is {UNCONFIRMED}",
        ),
        people=Stated(
            "People in 707 deepfakes from the Internet, with unknown names. They were not asked.",
            "github.com/OpenTAI/wild-deepfake, README.md, for the origin; that nobody was asked follows from it",
        ),
    ),
    "openforensics_kaggle": Source(
        title="OpenForensics faces on Kaggle",
        homepage="https://www.kaggle.com/datasets/manjilkarki/deepfake-and-real-images",
        citation="Le et al.: OpenForensics: Large-Scale Challenging Dataset For Multi-Face Forgery Detection And "
        "Segmentation In-The-Wild. ICCV 2021. arXiv:2107.14480",
        terms=Stated("Faces of OpenForensics that somebody else cropped and put on Kaggle.", UNCONFIRMED),
        people=Stated(
            "People in photographs of Google Open Images; some of their faces were replaced. Whether anybody was asked "
            "is not known.",
            "descriptions of the paper (arXiv:2107.14480) by others",
        ),
    ),
    "faces_140k": Source(
        title="140k Real and Fake Faces",
        homepage="https://www.kaggle.com/datasets/xhlulu/140k-real-and-fake-faces",
        citation="Karras et al.: A Style-Based Generator Architecture for Generative Adversarial Networks. CVPR 2019. "
        "arXiv:1812.04948",
        terms=Stated(
            "The real faces are FFHQ's: free to use and pass on for non-commercial purposes under CC BY-NC-SA 4.0, "
            "with credit, and the licence of each photograph beside it. Of the fakes nothing is known.",
            f"github.com/NVlabs/ffhq-dataset, README.md. What the page on Kaggle says is {UNCONFIRMED}",
        ),
        people=Stated(
            "Reals: people in photographs that photographers put on Flickr under free licences; those shown were not "
            "asked, and NVIDIA removes who asks. Fakes: faces that a network made up.",
            "github.com/NVlabs/ffhq-dataset, README.md, for origin and removal",
        ),
    ),
    "image_folder": Source(
        title="A folder of images",
        homepage=None,
        citation=None,
        terms=Stated("Images that whoever made this dataset brought along.", UNCONFIRMED),
        people=Stated("Unknown. Take it that real people are shown who were not asked.", "nobody stated it"),
    ),
    "manifest": Source(
        title="A dataset with a manifest",
        homepage=None,
        citation=None,
        terms=Stated("Videos or images that whoever made this dataset brought along.", UNCONFIRMED),
        people=Stated("Unknown. Take it that real people are shown who were not asked.", "nobody stated it"),
    ),
}


def source_of(layout: str, *, built_in: bool) -> Source:
    """Return whose footage a dataset of the layout holds; of an unknown layout one that says so.

    `built_in`: the stage synthesize rendered it, in whatever layout.
    """
    unknown = Stated("Nothing is written down about this source.", UNCONFIRMED)
    source = SOURCES.get(layout) or Source(layout, None, None, unknown, unknown)
    if not built_in:
        return source
    ours = "the project that rendered it"
    return Source(
        title=f"Rendered faces in the layout of {source.title}",
        homepage=None,
        citation=None,
        terms=Stated("Made by Veriframe, and as free as it is, under Apache-2.0.", ours),
        people=Stated("Nobody: the faces are computed.", ours),
        license="Apache-2.0",
        rendered=True,
    )
