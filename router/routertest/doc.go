// Package routertest is the contract of router.Log and router.Broker as tests: one for
// each sentence of it, for whatever keeps the contract. Log is for the log of a server
// that stands alone, Broker for what joins the nodes of a cluster.
//
// Who keeps the contract says how a cluster is opened, and closes it with the test. The
// tests own the nodes, which do no more than follow channels and write down what they
// hand out: by Done on a server alone, by router.Receiver in a cluster.
//
// What it knows nothing of: how events are stored, and what a log does beyond the
// contract. A fault is brought about by who opened the cluster (Cluster.Refusals,
// Cluster.Renew); what it leaves behind on a disk is tested where the disk is.
package routertest
