"""The build system: from `model.json` to an evaluated model.

A module imports only from those before it in this list (tests/test_ladder.py holds it to that):

errors, looks, profiles, surroundings, snapshot, model, retries, positions, resources, cron,
cgroups, hashing, status_line, fingerprint, folders, readme, usage, redaction, descendants,
bounded_log, processes, front, state,
languages (syntax, reflection, paths, python, r_source, r_home, r_packages, r_cran, r_library, r,
packing, spark, spark_classes, spark_cluster, spark_size, pyspark, sql), frameworks, slips,
datasets, fetching, rules, validate, sources, discover,
plan, records, git, environments (interpreters, days, corrections, requirements, faults, uv,
compiler, resolve, lock_file, locks, contents, build, reasons), explain, listing, metrics, publish,
answers, objects, shared, progress, news, runs, containers, clusters, pods, limits, places (cluster,
pod_log, pod_state, kubernetes, dask_worker, dask_client, dask, container), checkpoints, failures,
furnishing, launch, results, store, storekeeping, revision, mentions, basis, needed, affected,
lookup, shards, preparation, admission, requests, remote, attempts, local, execute, acceptance,
scratch, wording, store_forms, comparison, forms, differences, difference_forms, report, console,
screen, json_lines, evaluation,
backend, serving (arrays, schema, examples, payloads, payloads.parsing, payloads.tensors,
payloads.plain, payloads.csv_text, payloads.infer, payloads.infer_answer, payloads.invocations,
payloads.flatbuffers, payloads.arrow_batches, payloads.arrow, payloads.arrow_answer,
payloads.negotiation, settings, memory, divergence, counts, columns, rows, windows, monitoring,
released, batches, workers, keeper, pool, metrics, output, access, bodies, openapi, page, sending,
connections, inference, asking, refusals, gateway, options, server), images (layers, compiled,
parts, bases, bill, sealed, build), manifests, actions, generators, serve_image, travelling, worker,
naming, run_command, commands, serve_command, data_checks, strays, queries, resources_command,
store_commands, changes, diagnosis, readiness, machine, doctor, matrix, prompts, run_model,
templates, scaffold, upkeep, repository

`runtime/` is executed inside a model's own environment; it imports nothing from here and nothing
from here imports it.  `launch` speaks to it through two JSON files.

Relative paths are relative to the repository, which doit makes the working directory.
"""
