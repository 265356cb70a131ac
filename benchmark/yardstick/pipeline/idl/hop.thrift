// What the processes of the bare pipeline say to each other: a blob of frames, and for
// each frame a user.
namespace go hop

struct Batch {
  1: i32 queue        // of a forward
  2: list<i64> users  // of a forward: who sent; of a push: who receives; of an answer: who is answered
  3: list<i32> ends   // for each user: where its frame ends in frames
  4: binary frames
}

service Pipe {
  Batch Pass(1: Batch batch) // a forward is answered with its acks, a push with nothing
}
