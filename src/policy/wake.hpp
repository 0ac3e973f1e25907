// Who commits something that policies look at wakes the policy worker. Any process.
#pragma once

namespace dbnet::policy {

// At the commit of the running transaction; to be called from C++ frames. Throws pg::pg_error.
void wake_worker_at_commit();

} // namespace dbnet::policy
