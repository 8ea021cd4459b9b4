"""Training, in processes of its own.

    python -m pipelines.training JOB.json
    accelerate launch --config_file pipelines/accelerate/zero3.yaml --num_processes 8 -m pipelines.training JOB.json

    sft              the whole of a supervised fine-tuning, on one screen
    reinforcement    the same for reinforcement learning; rollouts: each response with its reward
    arguments        the recipe's arguments of TRL over our defaults, or a refusal that names the argument;
                     grpo_arguments: those of reinforcement
    chat_template    which template the student is trained and saved with
    preparation      rows -> tokens and labels, in one pass, a batch at a time
    preflight        what is refused before the first step, and what of it a person can read
    packing          whether rows that share a pack see each other
    checkpoints      when the training saves itself, and what it goes on from
    progress         loss, tokens a second and memory: to the stage, and to Trackio
    assembly         the finished model
    frozen_head      a cheaper loss on the CPU
    machines         whether all of them were given the same
    job              what the stages and these processes say to each other
    launch, apart    how a stage starts them and hears from them, to the end
    tally            what the responses of a reinforcement came to
    mixture          which rows, and how often
    resumption       checkpoints on the Hub
    spending         the time that it took, over all its sessions
    merged           the trained weights averaged with the student's own, on the Hub; averaging: the average itself

From `job` on they import nothing heavy: a stage uses them in its own process. Only averaging needs torch.
"""
