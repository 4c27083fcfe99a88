package tfxtflite.flink;

import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.beam.runners.flink.FlinkExecutionEnvironments;
import org.apache.beam.runners.flink.FlinkJobServerDriver;
import org.apache.beam.runners.flink.FlinkPipelineOptions;
import org.apache.flink.api.java.ExecutionEnvironment;
import org.apache.flink.api.java.io.DiscardingOutputFormat;

/**
 * Beam's job server for Flink, which starts the Flink inside it before the first job asks for it.
 *
 * <p>Whoever starts this for a run has something else to do then, such as loading TFX. The property
 * tfxtflite.parallelism tells how parallel the run's jobs will be; without it nothing is started early.
 */
public final class JobServer {
  private static final Logger LOGGER = Logger.getLogger(JobServer.class.getName());

  private JobServer() {}

  /** Takes the arguments of Beam's job server. */
  public static void main(String[] arguments) throws Exception {
    Integer parallelism = Integer.getInteger("tfxtflite.parallelism");
    if (parallelism != null) {
      Thread thread = new Thread(() -> warmUp(parallelism), "warm-up");
      thread.setDaemon(true);
      thread.start();
    }
    FlinkJobServerDriver.main(arguments);
  }

  private static void warmUp(int parallelism) {
    FlinkPipelineOptions options = FlinkPipelineOptions.defaults();
    options.setFlinkMaster("[local]");
    options.setParallelism(parallelism);
    // A job that comes meanwhile waits for this one, and does not start a cluster of its own.
    synchronized (KeptClusters.class) {
      try {
        ExecutionEnvironment environment = FlinkExecutionEnvironments.createBatchExecutionEnvironment(options);
        environment.fromElements("a", "b").distinct().output(new DiscardingOutputFormat<>());
        environment.execute("warm-up");
      } catch (Exception problem) {
        LOGGER.log(Level.WARNING, "Flink could not be started early", problem);
      }
    }
  }
}
