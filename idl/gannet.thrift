// What the roles of a cluster say to each other. Package gannet/idl/rpc has the clients
// and servers of it, and is where these calls are explained; gannet/internal/hop has the
// types that travel.
//
// A call carries flat lists and one blob of frames, no object a message. Numbers that
// are unsigned in Go travel as their bits in i32 and i64. A field that is not known is
// skipped, one that is missing is 0: structs grow by new numbers, and no number is used
// twice.

namespace go gannet

// Status of a reply.
const i32 OK = 0
const i32 UNAVAILABLE = 1 // it could not answer; what was asked may or may not have happened
const i32 REFUSED = 2     // it cannot be asked that; nothing was done
const i32 MOVED = 3       // another node has the queue; nothing was done
const i32 OTHER = 4       // the call is for another life of a node than this; nothing was done

// A list of hop.Login.
struct LoginRequest {
  1: list<i64> gateways
  2: list<i64> conns
  3: list<i32> requests
  4: list<i32> versions
  5: list<binary> tokens
  6: list<i64> devices
  7: list<i32> platforms
  8: list<i32> heartbeats
  9: list<i64> capabilities
  10: list<binary> clients
}

// A list of hop.Welcome.
struct LoginReply {
  1: i32 status
  2: list<i32> codes
  3: list<i64> users
  4: list<i64> numbers
  5: list<i32> heartbeats
  6: list<i64> expires
  7: list<binary> frames
}

// A list of hop.Binding.
struct Bindings {
  1: list<i64> gateways
  2: list<i64> conns
  3: list<i64> users
  4: list<i64> devices
  5: list<i32> platforms
  6: list<i64> numbers
}

struct EnterReply {
  1: i32 status
  2: list<i32> codes
}

struct LogoutReply {
  1: i32 status
}

// A list of hop.Rebinding.
struct BindAgainRequest {
  1: list<i64> gateways
  2: list<i64> conns
  3: list<i64> users
  4: list<i64> devices
  5: list<i32> platforms
  6: list<i64> numbers
  7: list<i64> was
}

struct BindAgainReply {
  1: i32 status
  2: list<i32> lost // which of the list, rising
}

// hop.Forward, and what the sender knows of who has the queue.
struct ForwardRequest {
  1: i64 gateway
  2: i32 queue
  3: list<i64> conns
  4: list<i64> users
  5: list<i64> devices
  6: list<i32> ends
  7: binary frames
  8: i64 version // of the sender's view of the registry, which says that this node has the queue
}

// hop.Answers, or with MOVED who has the queue.
struct ForwardReply {
  1: i32 status
  2: list<i32> of
  3: list<i32> ends
  4: binary frames
  5: i64 owner      // MOVED; 0: it is not known
  6: string address // MOVED
  7: i64 version    // MOVED: of the view of the registry that says so
}

// hop.Query
struct QueryRequest {
  1: i64 gateway
  2: i64 conn
  3: i64 user
  4: i64 device
  5: binary frame
}

// hop.Redelivery
struct RedeliverRequest {
  1: i64 gateway
  2: i64 conn
  3: i64 user
  4: i64 device
  5: i32 kind
  6: i64 id
  7: i64 first
  8: i64 last
}

struct FramesReply {
  1: i32 status
  2: binary frames
}

service Logic {
  LoginReply Login(1: LoginRequest request)
  EnterReply Enter(1: Bindings request)
  LogoutReply Logout(1: Bindings request)
  BindAgainReply BindAgain(1: BindAgainRequest request)
  ForwardReply Forward(1: ForwardRequest request)
  FramesReply Query(1: QueryRequest request)
  FramesReply Redeliver(1: RedeliverRequest request)
}

// hop.Push
struct PushRequest {
  1: i64 epoch
  2: list<i32> frames    // for each frame: start and end in blob
  3: list<i32> receivers // for each frame: start and end in conns
  4: list<i64> conns
  5: bool everything
  6: binary blob
}

struct PushReply {
  1: i32 status
  2: list<i64> absent
}

struct KickRequest {
  1: i64 epoch
  2: list<i64> conns
  3: list<i32> codes // for each connection
}

struct KickReply {
  1: i32 status
}

service Gateway {
  PushReply Push(1: PushRequest request)
  KickReply Kick(1: KickRequest request)
}

// Records of RECEIPT frames, each encoded as hop.Record says.
struct ReceiptsRequest {
  1: list<i32> ends // for each record: where it ends in records
  2: binary records
}

struct ReceiptsReply {
  1: i32 status
}

service Transfer {
  ReceiptsReply Receipts(1: ReceiptsRequest request)
}
