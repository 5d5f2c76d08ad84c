"""The store on PostgreSQL. Partner of `cloud.store.sqlite`, under the same contract suite."""
