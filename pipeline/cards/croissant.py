"""Croissant 1.1 metadata of a dataset, with the responsible-AI fields, as JSON-LD.

Specifications: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html and croissant-rai-spec.html there. The
document is a plain dictionary in a fixed order, so that it starts fast and its bytes depend on nothing else; the tests
hold it against mlcroissant's validator and reader.
"""

import copy
import json
import posixpath
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import tables
from pipeline.cards import uses, words
from pipeline.cards.facts import Facts
from pipeline.cards.licences import Licence
from pipeline.files import whole_or_absent
from pipeline.tables import CLASSES

Json = dict[str, Any]

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
CONTEXT: Json = {  # appendix 1 of the specification as mlcroissant has it, and PROV-O
    "@language": "en",
    "@vocab": "https://schema.org/",
    "annotation": "cr:annotation",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "excludes": "cr:excludes",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "readLines": "cr:readLines",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "sdVersion": "cr:sdVersion",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
}
FORMATS = {".tar": "application/x-tar", ".parquet": "application/x-parquet", ".json": "application/json"}
SPLIT_URLS = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}
TABLE, PICTURES = "samples.parquet", "pictures"


def metadata(facts: Facts) -> Json:
    """Return the Croissant document of a dataset.

    The files' `contentUrl` are relative to data/card/<key>, where it is written; see `for_folder`.
    """
    published, source = facts.published, facts.source
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": facts.key,
        "alternateName": words.title(facts),
        "description": words.introduction(facts),
        "conformsTo": CONFORMS_TO,
        "license": _license(facts.licence),
        "url": published.url or "README.md",
        "creator": [{"@type": "sc:Organization", "name": name} for name in published.creators],
        "datePublished": published.date_published,
        "version": published.version,
        "isLiveDataset": False,
        "citeAs": words.citation(facts),
        "keywords": words.keywords(facts),
        "prov:wasDerivedFrom": {
            "@type": "prov:Entity",
            **({"@id": source.homepage} if source.homepage else {}),
            "prov:label": source.title,
        },
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "prov:label": f"Veriframe pipeline. {words.tools(facts)}"},
        **_responsible_ai(facts),
        "distribution": [*_files(facts), _pictures(facts)],
        "recordSet": [_splits(), _labels(), _samples()],
    }


def for_folder(document: Json) -> Json:
    """Return a copy for a folder that holds the document beside the files of data/shard/<key>, each in its place."""
    moved = copy.deepcopy(document)
    for item in moved["distribution"]:
        if "contentUrl" in item:
            item["contentUrl"] = item["@id"]
    return moved


def write(path: Path, document: Json) -> None:
    """Write a Croissant document, whole or not at all."""
    with whole_or_absent(path) as part:
        part.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def _license(licence: Licence) -> str | Json:
    """Return the URL of a known licence; the terms as a work of its own where there is none."""
    if licence.terms is None and licence.url is not None:
        return licence.url
    link = {"url": licence.url} if licence.url else {}
    return {"@type": "sc:CreativeWork", "name": licence.name, "description": licence.terms or licence.name, **link}


def _responsible_ai(facts: Facts) -> Json:
    """Return the fields of the responsible-AI extension, each from the facts."""
    source, rendered = facts.source, facts.source.rendered
    shared = [*words.leaks(facts), *words.across(facts)]
    return {
        "rai:dataCollection": f"{words.collection(facts)} {words.compression(facts)}",
        "rai:dataCollectionType": ["Software Collection"] if rendered else ["Secondary Data analysis"],
        "rai:dataCollectionRawData": f"{source.title}. {source.terms.text} (Known from: {source.terms.basis}.)",
        "rai:dataCollectionMissingData": words.missing(facts),
        "rai:dataPreprocessingProtocol": [
            words.splitting(facts),
            *words.selection(facts),
            *words.pictures(facts),
            words.tools(facts),
            words.checked(facts),
        ],
        "rai:dataManipulationProtocol": words.manipulation(facts),
        "rai:dataAnnotationProtocol": words.labels(facts),
        "rai:annotationsPerItem": "1: the label of the video it was cut from",
        "rai:machineAnnotationTools": facts.recipes,
        "rai:dataBiases": [words.shortcut(name, facts) for name in facts.shortcuts],
        "rai:dataLimitations": [*words.limits(facts), *shared],
        "rai:personalSensitiveInformation": [
            f"{source.people.text} (Known from: {source.people.basis}.)",
            *([] if rendered else ["Faces are biometric data of persons who may be recognised."]),
        ],
        "rai:dataUseCases": [*uses.INTENDED, *uses.MISUSE],
        "rai:dataSocialImpact": uses.impact(rendered=rendered),
        "rai:dataReleaseMaintenancePlan": uses.MAINTENANCE,
    }


def _files(facts: Facts) -> list[Json]:
    """Return a FileObject for each file of the manifest."""
    return [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": f"../../shard/{facts.key}/{name}",
            "contentSize": f"{file['bytes']} B",
            "encodingFormat": FORMATS.get(posixpath.splitext(name)[1], "application/octet-stream"),
            "sha256": file["sha256"],
        }
        for name, file in sorted(facts.files.items())
    ]


def _pictures(facts: Facts) -> Json:
    return {
        "@type": "cr:FileSet",
        "@id": PICTURES,
        "name": PICTURES,
        "description": f"One `<key>.jpg` for each row of samples; {words.members(facts)}",
        "containedIn": [{"@id": name} for row in facts.splits for name in row["tars"]],
        "encodingFormat": "image/jpeg",
        "includes": "*.jpg",
    }


def _splits() -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The three parts of the dataset.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": ["sc:URL", "cr:Split"]},
        ],
        "data": [{"splits/name": split, "splits/url": url} for split, url in SPLIT_URLS.items()],
    }


def _labels() -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": "labels",
        "name": "labels",
        "description": "What the label's values mean.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "labels/value"},
        "field": [
            {"@type": "cr:Field", "@id": "labels/value", "name": "value", "dataType": "sc:Integer"},
            {"@type": "cr:Field", "@id": "labels/name", "name": "name", "dataType": "sc:Text"},
        ],
        "data": [{"labels/value": label, "labels/name": name} for label, name in CLASSES.items()],
    }


def _samples() -> Json:
    special: dict[str, Json] = {
        "split": {"references": {"field": {"@id": "splits/name"}}},
        "label": {"dataType": ["sc:Integer", "cr:Label"], "references": {"field": {"@id": "labels/value"}}},
    }
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"samples/{column.name}",
            "name": column.name,
            "description": column.metadata[b"meaning"].decode(),
            "dataType": _data_type(column.type),
            "source": {"fileObject": {"@id": TABLE}, "extract": {"column": column.name}},
            **special.get(column.name, {}),
        }
        for column in tables.SAMPLES
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "One row per picture: what it is, and where it lies.",
        "key": {"@id": "samples/key"},
        "field": fields,
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
