package tieline.responder;

import java.util.concurrent.TimeUnit;

/** The broker's clock, learned from Welcome and Pong; what this machine's clock shows does not matter. */
final class Clock {
  private static final double GROWTH = 0.001; // how much less sure we are after a second, in seconds

  private long broker; // what the broker's clock showed, in milliseconds …
  private long here; // … at this moment of System.nanoTime …
  private long unsure; // … give or take so many nanoseconds
  private boolean learned;

  /** Takes what the broker's clock showed between question and answer, unless what is known is more exact. */
  synchronized void learn(long shown, long asked, long answered) {
    long half = (answered - asked) / 2;
    if (!learned || half <= unsure + (answered - here) * GROWTH) {
      broker = shown;
      here = asked + half;
      unsure = half;
      learned = true;
    }
  }

  /** Milliseconds left until a moment of the broker's clock. */
  synchronized long until(long moment) {
    return moment - broker - TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - here);
  }
}
