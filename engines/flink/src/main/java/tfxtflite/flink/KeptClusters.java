package tfxtflite.flink;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.api.common.JobSubmissionResult;
import org.apache.flink.client.deployment.executors.LocalExecutor;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.DeploymentOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.core.execution.PipelineExecutor;
import org.apache.flink.core.execution.PipelineExecutorFactory;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;

/**
 * Runs the jobs of the Flink inside this process on one cluster, for as long as they end well.
 *
 * <p>Flink's own factory starts a cluster for each job and stops it after it, which takes as long as a small job.
 * META-INF/services has this one in its place.
 */
public final class KeptClusters implements PipelineExecutorFactory {
  private static KeptCluster last;

  @Override
  public String getName() {
    return LocalExecutor.NAME;
  }

  @Override
  public boolean isCompatibleWith(Configuration configuration) {
    return LocalExecutor.NAME.equalsIgnoreCase(configuration.get(DeploymentOptions.TARGET));
  }

  @Override
  public PipelineExecutor getExecutor(Configuration configuration) {
    return LocalExecutor.createWithFactory(configuration, KeptClusters::clusterFor);
  }

  /** Returns the cluster of the job before, or a new one, which is not started. */
  private static synchronized MiniCluster clusterFor(MiniClusterConfiguration configuration) {
    Configuration wanted = configuration.getConfiguration();
    if (last == null || !last.takeFor(wanted)) {
      last = new KeptCluster(configuration);
    }
    return last;
  }

  private static final class KeptCluster extends MiniCluster {
    // A job whose client has its result already ends here within that.
    private static final long PATIENCE_SECONDS = 2;

    private final Configuration configuration;
    private boolean isStarted;
    private JobID job;
    // Whether it may be used again; known when its job has ended or is given up.
    private volatile CompletableFuture<Boolean> isFree = new CompletableFuture<>();

    KeptCluster(MiniClusterConfiguration configuration) {
      super(configuration);
      this.configuration = configuration.getConfiguration();
    }

    /**
     * Takes this cluster for a job, if it is free and like the one that the job wants.
     *
     * <p>One that is not free has failed, or has a job that somebody gave up, which holds its slots.
     */
    boolean takeFor(Configuration wanted) {
      if (!isFreeSoon() || !isRunning()) {
        return false;
      }
      if (!isLike(wanted)) {
        super.closeAsync();
        return false;
      }
      isFree = new CompletableFuture<>();
      return true;
    }

    private boolean isFreeSoon() {
      try {
        return isFree.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
      } catch (TimeoutException problem) {
        // Nobody asks for this cluster again, so that the end of its job closes it.
        return !isFree.complete(false) && isFree.join();
      } catch (InterruptedException problem) {
        Thread.currentThread().interrupt();
        throw new IllegalStateException("the job that waits for a cluster was cancelled", problem);
      } catch (ExecutionException problem) {
        throw new IllegalStateException(problem);
      }
    }

    @Override
    public void start() throws Exception {
      if (!isStarted) {
        super.start();
        isStarted = true;
      }
    }

    @Override
    public CompletableFuture<JobSubmissionResult> submitJob(JobGraph graph) {
      job = graph.getJobID();
      return super.submitJob(graph);
    }

    /**
     * Closes the cluster, unless its job ended well and the next one may come.
     *
     * <p>Flink calls this after each job, and when something of the cluster failed for good. What went wrong with a job may
     * have taken a part of the cluster along.
     */
    @Override
    public CompletableFuture<Void> closeAsync() {
      CompletableFuture<Boolean> isKept = isFree;
      if (job == null || isKept.isDone()) {
        return super.closeAsync();
      }
      return getJobStatus(job)
          .handle((status, problem) -> problem == null && status == JobStatus.FINISHED)
          .thenCompose(isGood ->
              isKept.complete(isGood) && isGood ? CompletableFuture.completedFuture(null) : super.closeAsync());
    }

    /** Whether it has a configuration, but for the memory: Beam asks for a share of what is free at that moment. */
    private boolean isLike(Configuration wanted) {
      Configuration one = new Configuration(configuration);
      Configuration other = new Configuration(wanted);
      one.removeConfig(TaskManagerOptions.MANAGED_MEMORY_SIZE);
      other.removeConfig(TaskManagerOptions.MANAGED_MEMORY_SIZE);
      return one.equals(other);
    }
  }
}
