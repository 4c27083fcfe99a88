"""An executor on Beam that does nothing, for TFX to find by its path."""

from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor


class ExecutorOfNothing(BaseBeamExecutor):
    def Do(self, input_dict, output_dict, exec_properties):
        return None
