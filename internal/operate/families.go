package operate

// family is what Prometheus shows of one counter, or of several that count the same thing and are
// told apart by a label.
type family struct {
	name  string // behind "gannet_"
	help  string
	label string // empty: the family is one counter
	gauge bool   // the value can also fall
}

// described says how the counters of a part are shown. A part that a process has more than once,
// such as the queues of each class, has one set of families, and labels that say which of them
// counted.
type described struct {
	labels   map[string]string
	families map[string]family // by the key of a counter, or by what its key has before the first dot
}

func ofClass(class string) map[string]string { return map[string]string{"class": class} }
func ofRole(role string) map[string]string   { return map[string]string{"role": role} }

// descriptions has everything that a process counts, by part. The names follow
// https://prometheus.io/docs/practices/naming/: the role or part, then what is counted and its
// unit, and _total exactly where the value never falls. The counters of one family are of one kind,
// so that their sum says something; a count that is also part of another one has its own family.
var descriptions = map[string]described{
	"gateway":       {families: ofGateway},
	"logic":         {families: ofLogic},
	"store":         {families: ofStore},
	"transfer":      {families: ofTransfer},
	"transfer_chat": {ofClass("chat"), ofTransfer}, "transfer_system": {ofClass("system"), ofTransfer},
	"queue_chat": {ofClass("chat"), ofTransferQueue}, "queue_system": {ofClass("system"), ofTransferQueue},
	"queues_chat": {ofClass("chat"), ofLogicQueue}, "queues_system": {ofClass("system"), ofLogicQueue},
	"view":      {families: ofView},
	"history":   {families: ofHistory},
	"broker":    {families: ofBroker},
	"limiter":   {families: ofLimiter},
	"lookups":   {families: ofLookups},
	"directory": {families: ofDirectory},
	"registry":  {families: ofRegistry},
	"neighbour": {families: ofNeighbour},
	"rpc":       {families: ofRPCServer},
	"gateways":  {ofRole("gateway"), ofRPCClient}, "logics": {ofRole("logic"), ofRPCClient}, "receipts": {ofRole("transfer"), ofRPCClient},
	"debug": {families: ofDebug},
}

var ofGateway = map[string]family{
	"accepted":          {name: "gateway_accepted_connections_total", help: "Connections that were accepted."},
	"acks":              {name: "gateway_limited_acks_total", label: "outcome", help: "PUSHACKs and READs that did not go to logic at once, by what became of them."},
	"batches":           {name: "gateway_batches_total", help: "Batches in which frames of clients went to logic."},
	"begun_bytes":       {name: "gateway_begun_bytes", gauge: true, help: "Bytes of frames that are begun and not whole."},
	"bind":              {name: "gateway_rebinds_total", label: "outcome", help: "Connections that were bound in the directory again, by what became of them; failed counts calls, which are made again."},
	"blocked":           {name: "gateway_blocked_connections", gauge: true, help: "Connections whose client does not read just now."},
	"blocked_bytes":     {name: "gateway_blocked_bytes", gauge: true, help: "Bytes that wait for clients that do not read."},
	"blocks":            {name: "gateway_socket_blocks_total", help: "Times that a socket did not take everything, and was waited for."},
	"bytes_in":          {name: "gateway_received_bytes_total", help: "Bytes from clients."},
	"bytes_out":         {name: "gateway_sent_bytes_total", help: "Bytes to clients."},
	"close":             {name: "gateway_closed_connections_total", label: "reason", help: "Connections that ended, by the code of their CLOSE; peer: the client or its network ended it."},
	"connect":           {name: "gateway_refused_connections_total", label: "reason", help: "Connections that were not let in; failed: times that accept failed."},
	"connections":       {name: "gateway_connections", gauge: true, help: "Connections that are logged in or about to."},
	"drop":              {name: "gateway_dropped_total", label: "what", help: "What was dropped since its connection had ended or there was no room."},
	"epochs":            {name: "gateway_epochs_total", help: "New epochs under which this gateway bound its connections again."},
	"failed_handshakes": {name: "gateway_failed_handshakes_total", help: "TLS handshakes that failed."},
	"frames_in":         {name: "gateway_received_frames_total", help: "Frames from clients."},
	"hostile":           {name: "gateway_hostile_inputs_total", label: "what", help: "What transfer or logic sent that cannot be read."},
	"leaving":           {name: "gateway_leaving_connections", gauge: true, help: "Connections that were refused before TLS and may still read why."},
	"logic":             {name: "gateway_logic_failures_total", label: "reason", help: "Calls that logic did not carry out, frames that it did not answer, and logouts that it was not told of."},
	"login.calls":       {name: "gateway_login_calls_total", help: "Calls in which logins went to logic."},
	"panics":            {name: "gateway_panics_total", help: "Bugs that were survived, each of which ended a call or a session."},
	"places":            {name: "gateway_places", label: "state", gauge: true, help: "Places of connections: all that are taken, and those of them without a login."},
	"push":              {name: "gateway_unsent_pushes_total", label: "reason", help: "Pushes that did not go out or became hints; again: that were asked for once more."},
	"pushes":            {name: "gateway_pushed_frames_total", help: "Frames for a connection, put into its outbox or made a hint."},
	"reads":             {name: "gateway_socket_reads_total", help: "Times that a socket brought something."},
	"refused":           {name: "gateway_refused_requests_total", label: "reason", help: "Requests of clients that did not reach logic, by why."},
	"requests":          {name: "gateway_forwarded_frames_total", help: "Frames of clients that went to logic, in batches."},
	"resets":            {name: "gateway_reset_connections_total", help: "Connections that were ended amid a frame, whose rest their client did not take."},
	"writes":            {name: "gateway_socket_writes_total", help: "Write calls to sockets."},
}

var ofLogic = map[string]family{
	"failed":  {name: "logic_failures_total", label: "operation", help: "What logic needs of others and did not get, by what it was for."},
	"hostile": {name: "logic_hostile_inputs_total", label: "what", help: "What a gateway, log or store sent that does not keep to its port."},
	"refused": {name: "logic_refused_entries_total", label: "reason", help: "SENDs, PUSHACKs and READs whose senders were refused, by the code that they were told."},
}

var ofStore = map[string]family{
	"damaged.blocks": {name: "store_damaged_blocks_total", help: "Times that a block of a file was met that is not as it was written."},
	"failed":         {name: "store_failures_total", label: "operation", help: "Reads and writes of the store that failed."},
	"free_bytes":     {name: "store_disk_free_bytes", gauge: true, help: "Free room on the disk of the store; 0: not known."},
	"panics":         {name: "store_panics_total", help: "Bugs of the store that were survived."},
	"refused":        {name: "store_refused_entries_total", label: "reason", help: "Entries that were not taken since the disk is slow or full."},
	"stalls":         {name: "store_write_stalls_total", help: "Commits that the store held back."},
	"waiting_bytes":  {name: "store_waiting_bytes", gauge: true, help: "Bytes in memory that wait to be written out to tables."},
}

var ofTransfer = map[string]family{
	"deliveries": {name: "transfer_deliveries_total", help: "Frames to a connection."},
	"drop":       {name: "transfer_dropped_deliveries_total", label: "reason", help: "Deliveries that did not reach their connection: the device finds them by SYNC."},
	"frames":     {name: "transfer_frames_total", help: "Frames in records, each for all who are entitled to it."},
	"late":       {name: "transfer_late_answers_total", help: "Answers of gateways that came too late or twice."},
	"panics":     {name: "transfer_panics_total", help: "Bugs that were survived, each of which concerned one record."},
	"parked":     {name: "transfer_parked_total", help: "Times that something of a record could not be handled and was given away to be parked."},
	"receipts":   {name: "transfer_receipt_records_total", help: "Records of receipts, which come straight from logic."},
	"records":    {name: "transfer_records_total", help: "Records that were routed."},
	"retry":      {name: "transfer_retries_total", label: "operation", help: "What was tried again after a failure."},
	"unreadable": {name: "transfer_unreadable_total", label: "what", help: "Records, or entries of them, that could not be read."},
}

var ofTransferQueue = map[string]family{
	"drop.parked":       {name: "transfer_queue_dropped_records_total", help: "Records that could not be handled, and were not kept since too many are parked."},
	"empty":             {name: "transfer_queue_empty_records_total", help: "Records without entries, such as those of a take-over."},
	"failed":            {name: "transfer_queue_failures_total", label: "operation", help: "What RocketMQ, Redis or a gateway did not do for the queues, by what it was."},
	"given_up.losses":   {name: "transfer_queue_given_up_losses_total", help: "Losses of the broker that an operator accepted, after which everybody was hinted to sync."},
	"hinted":            {name: "transfer_queue_resyncs_total", help: "Times that Redis had no mark of a queue, and everybody was hinted to sync."},
	"lost":              {name: "transfer_queue_lost_total", help: "Times that a queue became another node's while it was read here."},
	"parked":            {name: "transfer_queue_parked_records_total", help: "Records that could not be handled and are kept for gannet parked."},
	"pulls":             {name: "transfer_queue_pulls_total", help: "Questions to the broker for more records."},
	"queues":            {name: "transfer_queues", gauge: true, help: "Queues that this node reads just now."},
	"records":           {name: "transfer_queue_records_total", help: "Records with entries that were handed over to be pushed."},
	"refused.retention": {name: "transfer_queue_refused_marks_total", help: "Marks of transfer behind which the broker has removed records."},
	"saves":             {name: "transfer_queue_mark_saves_total", help: "Times that it was saved in Redis up to where a queue is done."},
	"torn":              {name: "transfer_queue_torn_total", help: "Times that the end of a queue, or its view, was another than the one that was read."},
	"unconfirmed":       {name: "transfer_queue_unconfirmed_looks_total", help: "Looks at which Redis had no mark of a queue, and a view that its owner has not confirmed."},
	"undone":            {name: "transfer_queue_undone_records", gauge: true, help: "Records that were handed over and are not done."},
	"view.looks":        {name: "transfer_queue_view_looks_total", help: "Questions to Redis for the mark of a view."},
	"view.waits":        {name: "transfer_queue_view_waits_total", help: "Times that records waited since their view did not show them yet."},
	"void":              {name: "transfer_queue_void_records_total", label: "reason", help: "Records that the broker has and that do not count, by why."},
}

var ofLogicQueue = map[string]family{
	"ack_records":               {name: "logic_queue_ack_records_total", help: "Records of acks that had waited in memory, written for nobody who waits."},
	"damaged.conversations":     {name: "logic_queue_damaged_conversations_total", help: "Conversations that Redis did not give back as they were written."},
	"damaged.records":           {name: "logic_queue_damaged_records_total", help: "Records of a queue that cannot be read or applied."},
	"doubt.records":             {name: "logic_queue_doubtful_records_total", help: "Records of which nobody knew whether they count: their queue was taken over anew."},
	"doubt.void":                {name: "logic_queue_void_records_total", help: "Doubtful records that turned out not to count."},
	"failed":                    {name: "logic_queue_failures_total", label: "operation", help: "What RocketMQ, Redis or ClickHouse did not do for the queues, by what it was."},
	"late.looks":                {name: "logic_queue_late_looks_total", help: "Looks that found transfer so far behind that senders are told busy."},
	"lost.queues":               {name: "logic_queue_lost_total", help: "Times that a queue was lost to another node."},
	"panics":                    {name: "logic_queue_panics_total", help: "Bugs that were survived, each of which concerned one queue."},
	"queues.released":           {name: "logic_queue_releases_total", help: "Times that a queue was given up."},
	"queues.taken":              {name: "logic_queue_takeovers_total", help: "Times that a queue was taken over."},
	"rebuilt.conversations":     {name: "logic_queue_rebuilt_conversations_total", help: "Conversations that were brought back from ClickHouse after Redis had lost them."},
	"records":                   {name: "logic_queue_records_total", help: "Records that were written."},
	"refused":                   {name: "logic_queue_refusals_total", label: "reason", help: "Records refused since another node took the queue over under a newer view of the registry, conversations that lie in another queue, and questions above the head that is known here."},
	"repair.conversations":      {name: "logic_queue_repaired_conversations_total", help: "Damaged conversations that were brought back."},
	"repair.rebuilds":           {name: "logic_queue_view_rebuilds_total", help: "Tries to bring a view back from ClickHouse and the queue."},
	"repair.short":              {name: "logic_queue_incomplete_repairs_total", help: "Views and conversations that could not be brought back since something of them is gone."},
	"repair.views":              {name: "logic_queue_view_repairs_total", help: "Times that Redis had lost something of a view."},
	"replayed.records":          {name: "logic_queue_replayed_records_total", help: "Records that a view lacked and that were applied to it again."},
	"short.retention":           {name: "logic_queue_short_retention_looks_total", help: "Looks that found that the broker removes records before --broker-retention."},
	"state":                     {name: "logic_queues", label: "state", gauge: true, help: "Queues of the cluster, by what they are to this node."},
	"stuck.feeds":               {name: "logic_queue_stuck_feeds_total", help: "Times that a queue was found from which ClickHouse cannot be fed until a human has looked."},
	"stopped.queues":            {name: "logic_queue_stops_total", help: "Times that a queue was stopped until a human has looked."},
	"unable.queues":             {name: "logic_queue_unwritable_total", help: "Times that a queue had not been writable for over a minute."},
	"unavailable.conversations": {name: "logic_queue_unavailable_conversations", gauge: true, help: "Damaged conversations that are not back."},
}

var ofView = map[string]family{
	"damaged.view": {name: "view_damaged_answers_total", help: "Answers of Redis that are not as they were written."},
	"failed":       {name: "view_failures_total", label: "operation", help: "What Redis, or ClickHouse for counts, did not do for the views, by what it was."},
	"panics":       {name: "view_panics_total", help: "Bugs that were survived while counts were asked for."},
	"refused":      {name: "view_refusals_total", label: "reason", help: "Reads of a view that is not confirmed, and conversations too large for it."},
	"scripts":      {name: "view_scripts_total", help: "Scripts that Redis was sent."},
}

var ofHistory = map[string]family{
	"damaged":  {name: "history_damaged_total", label: "what", help: "Rows of ClickHouse and messages of records that cannot be."},
	"failed":   {name: "history_failures_total", label: "operation", help: "What ClickHouse did not do, by what it was."},
	"gaps":     {name: "history_gaps_total", help: "Times that records were gone from the queue before ClickHouse had them."},
	"inserts":  {name: "history_inserts_total", help: "INSERTs that were made."},
	"queries":  {name: "history_queries_total", help: "Queries that were made."},
	"refused":  {name: "history_refusals_total", label: "reason", help: "Pages that are not known to be complete, records for which there was no room, and work on a newer schema."},
	"restarts": {name: "history_server_restarts_total", help: "Times that ClickHouse was started anew, after which it is fed its last minutes again."},
}

var ofBroker = map[string]family{
	"append.refused":    {name: "broker_refused_appends_total", help: "Records that the broker did not take."},
	"append.unanswered": {name: "broker_unanswered_appends_total", help: "Records of which the broker did not say what became of them."},
	"broker.away":       {name: "broker_unanswered_probes_total", help: "Times that a broker was asked whether it is there and did not answer."},
	"damaged.pull":      {name: "broker_damaged_pulls_total", help: "Answers of the broker whose records cannot be read."},
	"pull.given_up":     {name: "broker_given_up_pulls_total", help: "Pulls that were under way when their broker did not answer any more."},
	"pull.overslept":    {name: "broker_overslept_pulls_total", help: "Pulls that a broker let wait although it had something."},
}

var ofLimiter = map[string]family{
	"charged":    {name: "limiter_charges_total", help: "Charges to the buckets that all nodes share."},
	"short":      {name: "limiter_short_charges_total", help: "Charges that the shared bucket did not have in full."},
	"skipped":    {name: "limiter_skipped_charges_total", help: "Charges that were not tried, soon after Redis had not answered one."},
	"unanswered": {name: "limiter_unanswered_charges_total", help: "Charges that Redis did not answer."},
	"untracked":  {name: "limiter_untracked_total", help: "Tokens taken by more users and addresses than there is room for, of which other nodes do not learn."},
}

var ofLookups = map[string]family{
	"questions": {name: "transfer_lookups_total", help: "Questions to the directory for where users are connected."},
	"shared":    {name: "transfer_shared_lookups_total", help: "Look-ups that the question for another record had answered."},
	"users":     {name: "transfer_looked_up_users_total", help: "Users in questions to the directory."},
}

var ofDirectory = map[string]family{
	"lost":       {name: "directory_losses_total", help: "Times that Redis had lost something of the directory."},
	"swept":      {name: "directory_swept_entries_total", help: "Entries of gateways that have ended, which were removed."},
	"unanswered": {name: "directory_unanswered_calls_total", help: "Looks at the directory that Redis did not answer."},
	"unreadable": {name: "directory_unreadable_total", help: "Entries of the directory that cannot be read."},
}

var ofRegistry = map[string]family{
	"ended":      {name: "registry_ended_registrations_total", help: "Registrations of this process that were found ended while it runs."},
	"nodes":      {name: "registry_nodes", gauge: true, help: "Nodes of the cluster that are known here."},
	"strange":    {name: "registry_strange_versions_total", help: "Versions of a view, named by a record of a queue, that cannot be and were left out."},
	"unanswered": {name: "registry_unanswered_calls_total", help: "Calls for the registry that Redis did not answer."},
	"unreadable": {name: "registry_unreadable_nodes_total", help: "Entries of the registry that are no node, and were left out."},
	"version":    {name: "registry_view_version", gauge: true, help: "Version of the newest view of the registry that is known here."},
}

var ofNeighbour = map[string]family{
	"buried":  {name: "neighbour_buried_nodes_total", help: "Nodes that were found gone, and whose registration was ended."},
	"failed":  {name: "neighbour_failed_burials_total", help: "Nodes that were found gone, of which the registry could not be told."},
	"strange": {name: "neighbour_refused_connections_total", help: "Connections that a node refused which has never taken one."},
}

var ofRPCServer = map[string]family{
	"calls":           {name: "rpc_server_calls_total", help: "Calls of other nodes."},
	"connections":     {name: "rpc_server_connections", gauge: true, help: "Connections of other nodes."},
	"failed.accept":   {name: "rpc_server_failed_accepts_total", help: "Times that a connection of another node could not be accepted."},
	"failed.call":     {name: "rpc_server_failed_calls_total", help: "Calls of other nodes that were not carried out."},
	"hostile":         {name: "rpc_server_hostile_inputs_total", label: "what", help: "Calls that no node makes, and bytes that are no call."},
	"moved":           {name: "rpc_server_moved_batches_total", help: "Batches of a queue that another node has."},
	"other":           {name: "rpc_server_misaddressed_calls_total", help: "Calls for another life of this node."},
	"panics":          {name: "rpc_server_panics_total", help: "Bugs that were survived, each of which concerned one call."},
	"refused.connect": {name: "rpc_server_refused_connections_total", help: "Connections of other nodes that were not let in."},
}

var ofRPCClient = map[string]family{
	"calls":         {name: "rpc_client_tries_total", help: "Tries of calls to nodes of the role."},
	"drop.full":     {name: "rpc_client_dropped_records_total", help: "Records of receipts that were dropped, since too many wait or no node is known."},
	"failed.budget": {name: "rpc_client_spent_budget_total", help: "Calls that were given up since too many are tried again."},
	"failed.call":   {name: "rpc_client_failed_calls_total", help: "Calls that were given up."},
	"failed.try":    {name: "rpc_client_failed_tries_total", help: "Tries of calls that gave no answer."},
	"hostile":       {name: "rpc_client_hostile_answers_total", label: "what", help: "Answers of nodes that make no sense, and bytes that are no answer."},
	"moved":         {name: "rpc_client_moved_answers_total", help: "Answers that another node has the queue."},
	"nodes":         {name: "rpc_client_nodes", gauge: true, help: "Nodes of the role to which connections are kept."},
}

var ofDebug = map[string]family{
	"accepted":       {name: "debug_accepted_connections_total", help: "Connections of the debug endpoint that were accepted."},
	"failed.metrics": {name: "debug_incomplete_metrics_total", help: "Answers with metrics that were not whole."},
	"open":           {name: "debug_open_connections", gauge: true, help: "Connections of the debug endpoint."},
	"refused":        {name: "debug_refused_connections_total", label: "reason", help: "Connections of the debug endpoint that were refused, gave way to others, or took too long."},
}
