"""What a dataset of forged faces is for, and what not: the same for every dataset made here."""

INTENDED = [
    "Train and compare detectors of forged faces, on the splits given here.",
    "Ask how much of a detector's figure comes from file facts, crop facts or shared people: the audits here say what "
    "there is to be had.",
]
MISUSE = [
    "Do not identify, look up or contact anyone shown, and do not train or test face recognition on it.",
    "Do not state of any person that a picture of them is forged or genuine because of this dataset or a model trained "
    "on it. A score is no proof.",
    "Do not use it to make forgeries, or to make them harder to detect.",
]
PLEDGE = (
    "These are pictures of real people, and of forgeries of them. I will not try to identify anyone shown, will not "
    "use the pictures for face recognition or to make forgeries, will not state of a person that a picture is forged "
    "or genuine because of this dataset, and will not pass the pictures on."
)
MAINTENANCE = (
    "Versions are numbered MAJOR.MINOR.PATCH. The same raw files and parameters give the same bytes, so that any "
    "version can be rebuilt, also without a video whose subject asks for that."
)


def impact(*, rendered: bool) -> str:
    """Return whom the dataset may help or harm; `rendered`: no real person is shown."""
    shown = (
        "Nobody is shown, so that nobody is harmed by what is shown."
        if rendered
        else "Those shown may be harmed by being recognised, or by forgeries of them that spread: keep it private."
    )
    return (
        f"Detectors help to find forgeries, and what is known of them helps to avoid being found. {shown} A detector "
        "that is wrong about a genuine picture harms its owner: no score stands alone."
    )
