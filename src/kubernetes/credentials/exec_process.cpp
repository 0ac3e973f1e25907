// Starts, reads and ends a credential program; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/credentials/exec_process.hpp"

#include "kubernetes/credentials/exec_credential.hpp"
#include "kubernetes/failure.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace dbnet::kubernetes {
namespace {

constexpr size_t largest_output = 1024 * 1024; // bytes; a certificate chain with its key has a few thousand
constexpr size_t most_at_once = 64 * 1024;     // bytes of a pipe before the clock is looked at again: what it holds
constexpr size_t kept_errors = 16 * 1024;      // bytes: the last ones are shown
constexpr int could_not_be_executed = 126;     // as shells say it

void kill_group(pid_t process) noexcept {
    if (kill(-process, SIGKILL) != 0) // it has not made its group yet
        kill(process, SIGKILL);
}

// Those of this process. Who was killed may take a moment to go, and is reaped when the next one starts.
struct Children {
    std::vector<pid_t> running, killed;

    ~Children() { // at the end of the process; one that is killed takes its direct children along (PR_SET_PDEATHSIG)
        for (const pid_t process : running)
            kill_group(process);
    }
    void reap() noexcept {
        std::erase_if(killed, [](pid_t process) { return waitpid(process, nullptr, WNOHANG) != 0; });
    }
};
Children children;

// What we give it, beside what the kubeconfig says: where programs are, who it is, and no languages.
std::vector<std::string> environment_of(const ExecPlugin &plugin, const std::string &info) {
    std::vector<std::pair<std::string, std::string>> variables{
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"LANG", "C.UTF-8"}};
    for (const char *name : {"HOME", "USER", "LOGNAME", "TZ"})
        if (const char *value = std::getenv(name))
            variables.emplace_back(name, value);
    for (const auto &variable : plugin.environment) {
        std::erase_if(variables, [&](const auto &other) { return other.first == variable.first; });
        variables.push_back(variable);
    }
    std::erase_if(variables, [](const auto &variable) { return variable.first == "KUBERNETES_EXEC_INFO"; });
    variables.emplace_back("KUBERNETES_EXEC_INFO", info);
    std::vector<std::string> lines;
    for (const auto &[name, value] : variables)
        lines.push_back(name + '=' + value);
    return lines;
}

std::vector<char *> pointers_to(std::vector<std::string> &texts) {
    std::vector<char *> pointers;
    for (std::string &text : texts)
        pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

std::string in_quotes(const std::string &text) {
    return '"' + text + '"';
}

// Between fork and exec: calls that are safe in a signal handler, and no other, for threads may have held locks.
[[noreturn]] void become(const char *command, char *const *arguments, char *const *environment, pid_t parent, int null,
                         int output, int errors) noexcept {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) // which has gone before that was said
        _exit(could_not_be_executed);
    setsid();
    for (int signal = 1; signal < NSIG; signal++)
        ::signal(signal, SIG_DFL);
    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    closefrom(STDERR_FILENO + 1);
    umask(S_IRWXG | S_IRWXO);
    if (chdir("/") == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, nullptr);
        execve(command, arguments, environment);
    }
    const char *const why = strerrordesc_np(errno);
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, why, strlen(why));
    _exit(could_not_be_executed);
}

} // namespace

ExecProcess::Pipe::Pipe() {
    if (pipe2(ends_, O_CLOEXEC) != 0)
        throw Failure(std::string("cannot make a pipe: ") + std::strerror(errno));
    fcntl(reader(), F_SETFL, O_NONBLOCK);
}

void ExecProcess::Pipe::close_writer() noexcept {
    if (writer() >= 0)
        ::close(std::exchange(ends_[1], -1));
}

void ExecProcess::Pipe::close() noexcept {
    close_writer();
    if (reader() >= 0)
        ::close(std::exchange(ends_[0], -1));
}

ExecProcess::ExecProcess(ExecPlugin plugin, const std::string &info)
    : plugin_(std::move(plugin)), deadline_(EventPoll::Clock::now() + plugin_.time_limit) {
    children.reap();
    children.running.reserve(children.running.size() + 1);
    children.killed.reserve(children.killed.size() + children.running.size() + 1);
    if (access(plugin_.command.c_str(), X_OK) != 0)
        throw Failure("cannot run " + in_quotes(plugin_.command) + ": " + std::strerror(errno), plugin_.install_hint);
    start(info);
    stdout_.close_writer();
    stderr_.close_writer();
    try {
        for (const int descriptor : {stdout_.reader(), stderr_.reader(), end_})
            poll_.watch(descriptor, EPOLLIN);
        poll_.wake_at(deadline_);
    } catch (...) { // no destructor runs for what was never made
        kill();
        throw;
    }
}

void ExecProcess::start(const std::string &info) {
    std::vector<std::string> arguments{plugin_.command};
    arguments.insert(arguments.end(), plugin_.arguments.begin(), plugin_.arguments.end());
    std::vector<std::string> environment = environment_of(plugin_, info);
    const std::vector<char *> argument_pointers = pointers_to(arguments),
                              environment_pointers = pointers_to(environment);
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0)
        throw Failure(std::string("cannot open /dev/null: ") + std::strerror(errno));
    // No handler of ours may run in the child before it has none.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const pid_t parent = getpid();
    process_ = fork();
    if (process_ == 0)
        become(plugin_.command.c_str(), argument_pointers.data(), environment_pointers.data(), parent, null,
               stdout_.writer(), stderr_.writer());
    const int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    close(null);
    if (process_ < 0)
        throw Failure("cannot start " + in_quotes(plugin_.command) + ": " + std::strerror(error));
    children.running.push_back(process_);
    end_ = static_cast<int>(syscall(SYS_pidfd_open, process_, 0));
    if (end_ >= 0)
        return;
    const std::string why = std::strerror(errno);
    kill();
    throw Failure("cannot watch " + in_quotes(plugin_.command) + ": " + why);
}

ExecProcess::~ExecProcess() {
    kill();
}

void ExecProcess::kill() noexcept {
    if (process_ > 0) {
        kill_group(process_);
        std::erase(children.running, process_);
        children.killed.push_back(std::exchange(process_, -1));
        children.reap();
    }
    if (end_ >= 0)
        close(std::exchange(end_, -1));
}

void ExecProcess::give_up(std::string problem) {
    problem_ = std::move(problem);
    kill();
}

void ExecProcess::take(Pipe &pipe, std::string &text) {
    char bytes[4096];
    size_t taken = 0;
    while (pipe.reader() >= 0 && taken < most_at_once) {
        const ssize_t size = read(pipe.reader(), bytes, sizeof bytes);
        if (size > 0) {
            text.append(bytes, static_cast<size_t>(size));
            taken += static_cast<size_t>(size);
        } else if (size == 0) {
            pipe.close(); // nobody can write into it any more
        } else if (errno != EINTR) {
            return;
        }
        if (&pipe == &stdout_ && text.size() > largest_output)
            return;
        if (&pipe == &stderr_ && text.size() > 2 * kept_errors) // from the next word on, lest half a secret be shown
            text.erase(0, text.find_first_of(" \n", text.size() - kept_errors));
    }
}

void ExecProcess::drain() {
    take(stdout_, output_);
    take(stderr_, errors_);
}

bool ExecProcess::run() {
    if (process_ < 0)
        return true;
    poll_.ready();
    drain();
    const auto too_much = [this] {
        return in_quotes(plugin_.command) + " printed more than " + std::to_string(largest_output) + " bytes";
    };
    if (output_.size() > largest_output) {
        give_up(too_much());
        return true;
    }
    int status = 0;
    const pid_t ended = waitpid(process_, &status, WNOHANG);
    const std::string why = ended < 0 ? std::strerror(errno) : "";
    if (ended != 0) {
        drain(); // what it wrote last; children of its own that still have the pipes are not waited for
        std::erase(children.running, std::exchange(process_, -1));
        kill();
        if (ended < 0) {
            problem_ = "cannot tell how " + in_quotes(plugin_.command) + " ended: " + why;
            return true;
        }
        if (output_.size() > largest_output) {
            problem_ = too_much();
            return true;
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            return true;
        problem_ = in_quotes(plugin_.command) + (WIFSIGNALED(status)
                                                     ? " was ended by signal " + std::to_string(WTERMSIG(status))
                                                     : " ended with status " + std::to_string(WEXITSTATUS(status)));
        if (const std::string words = shown_errors(errors_, output_, plugin_); !words.empty())
            problem_ += ": " + words;
    } else if (EventPoll::Clock::now() >= deadline_) {
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(plugin_.time_limit).count();
        give_up(in_quotes(plugin_.command) + " did not end within " + std::to_string(seconds) + " s");
    } else {
        poll_.wake_at(deadline_);
        return false;
    }
    return true;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
