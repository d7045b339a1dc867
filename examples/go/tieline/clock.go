package tieline

import (
	"sync"
	"time"
)

// growth is how much less sure of the clock we are after a second.
const growth = time.Millisecond

// clock is the broker's clock, learned from Welcome and Pong; what this machine's clock shows does not matter.
type clock struct {
	mutex   sync.Mutex
	broker  time.Time     // what the broker's clock showed …
	here    time.Time     // … at this moment …
	unsure  time.Duration // … give or take so much
	learned bool
}

// learn takes what the broker's clock showed (ms since 1970) somewhere between question and answer, unless what is
// known already is more exact.
func (c *clock) learn(shown int64, asked, answered time.Time) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	unsure := answered.Sub(asked) / 2
	known := c.unsure + time.Duration(answered.Sub(c.here).Seconds()*float64(growth))
	if !c.learned || unsure <= known {
		c.broker, c.here, c.unsure, c.learned = time.UnixMilli(shown), asked.Add(unsure), unsure, true
	}
}

// until is the time left until a moment of the broker's clock (ms since 1970).
func (c *clock) until(moment int64) time.Duration {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return time.UnixMilli(moment).Sub(c.broker) - time.Since(c.here)
}
