// Which plans a worker's statements get. They are planned once and kept, often while tables are still empty, when a
// sequential scan is cheapest; minutes pass before statistics tell that it is not. So a worker's own statements go by
// index whatever the statistics say, and a user's code that runs in the worker is planned as it is configured.
// Settings of the session; may longjmp, so call them inside pg::call.
#pragma once

namespace dbnet::pg {

// For the rest of the process.
void plan_by_index();

// Until the end of the current GUC level.
void plan_as_configured();

} // namespace dbnet::pg
