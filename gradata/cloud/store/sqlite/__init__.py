"""The store on one SQLite file. Partner of `cloud.store.postgres`, under the same contract suite."""
