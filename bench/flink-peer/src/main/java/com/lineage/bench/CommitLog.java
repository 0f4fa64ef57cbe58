package com.lineage.bench;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import org.apache.flink.connector.file.sink.FileSinkCommittable;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.Path;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessage;
import org.apache.flink.streaming.api.connector.sink2.CommittableSummary;
import org.apache.flink.streaming.api.connector.sink2.CommittableWithLineage;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Writes {@code chk-N/subtask-K.csv} with all files that subtask K has closed for checkpoint N, before the last of
 * them goes on to the committer. A writer sends, at each barrier, a summary that counts its files, then the files.
 */
final class CommitLog
        extends ProcessFunction<CommittableMessage<FileSinkCommittable>, CommittableMessage<FileSinkCommittable>> {
    private static final long serialVersionUID = 1;

    private final String folder;

    private transient StringBuilder lines;
    private transient int expected;

    CommitLog(String folder) {
        this.folder = folder;
    }

    @Override
    public void processElement(
            CommittableMessage<FileSinkCommittable> message,
            Context context,
            Collector<CommittableMessage<FileSinkCommittable>> out)
            throws IOException {
        if (message instanceof CommittableSummary<FileSinkCommittable> summary) {
            expected = summary.getNumberOfCommittables();
            lines = new StringBuilder();
        } else if (message instanceof CommittableWithLineage<FileSinkCommittable> file) {
            note(file);
            expected--;
            if (expected == 0 && lines.length() > 0) {
                write(file.getCheckpointIdOrEOI());
            }
        }
        out.collect(message);
    }

    private void note(CommittableWithLineage<FileSinkCommittable> file) {
        // The others name what a crash has left, for the committer to clear away.
        if (file.getCommittable().hasPendingFile()) {
            lines.append(file.getCheckpointIdOrEOI())
                    .append(',')
                    .append(file.getCommittable().getPendingFile().getPath())
                    .append(',')
                    .append(System.currentTimeMillis())
                    .append('\n');
        }
    }

    private void write(long checkpoint) throws IOException {
        int subtask = getRuntimeContext().getTaskInfo().getIndexOfThisSubtask();
        Path path = new Path(folder + "/chk-" + checkpoint + "/subtask-" + subtask + ".csv");
        String text = "checkpoint_id,s3_key,commit_timestamp\n" + lines;
        try (OutputStream file = path.getFileSystem().create(path, FileSystem.WriteMode.OVERWRITE)) {
            file.write(text.getBytes(StandardCharsets.UTF_8));
        }
    }
}
