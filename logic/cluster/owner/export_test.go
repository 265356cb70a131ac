package owner

import "context"

// Hold has nothing written to any queue until release is called.
func (o *Owner) Hold() (release func()) {
	done := make(chan struct{})
	for _, q := range o.queues {
		entered := make(chan struct{})
		go func() {
			_ = q.turn(context.Background(), func(context.Context) error {
				close(entered)
				<-done
				return nil
			})
		}()
		<-entered
	}
	return func() { close(done) }
}

// FlushAcks writes all acks that wait.
func (o *Owner) FlushAcks(ctx context.Context) error { return o.each(ctx, (*queue).flush) }
