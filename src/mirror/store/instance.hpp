// Which running installation of a database this is: a clone of its files, on this host or another, has another name,
// and so has a server of the same files after its host was started anew. Backends and mirror worker.
#pragma once

#include <string>

namespace dbnet::mirror {

// "db1.example.com_1f3a5c7e9b2d4f60": the host, and a hash of what tells data directories apart: the boot of the host's
// kernel, the directory's device and inode. The same for the life of the process.
const std::string &instance_identity();

} // namespace dbnet::mirror
