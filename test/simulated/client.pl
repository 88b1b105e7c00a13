#!/usr/bin/perl
# The program behind every simulated tool: hands its words to the test's own process and says what comes back. Plain perl without a
# module starts in 2 ms; perl-base is on every Debian.
use strict;

my ($folder, $tool) = $0 =~ m{^(.*)/([^/]+)$};
my $is_lvm = $tool =~ /^(?:lv|vg)(?:s|change)$/;
my $report;

# What the test itself was started with is nobody's fault.
sub from_outside {
    open my $list, '<', "$folder/.descriptors";
    return grep { $_ eq "$_[0]\n" } <$list>;
}

sub fail { print STDERR "  $_[0]\n"; exit 4 }

# What lvm2 2.03.16 does as it starts (measured): it takes a report descriptor that it can write to, and closes every other one.
if ($is_lvm) {
    my $named = $ENV{LVM_REPORT_FD};
    if (defined $named) {
        fail('LVM_REPORT_FD: invalid file descriptor.') if $named =~ /\D/;
        $report = $named eq '' ? 0 : $named;
    }
    opendir my $descriptors, '/proc/self/fd';
    my @inherited = grep { /^\d+$/ && $_ > 2 && $_ != fileno $descriptors } readdir $descriptors;
    closedir $descriptors;
    for my $fd (sort { $a <=> $b } @inherited) {
        next if defined $report && $fd == $report;
        my $path = readlink "/proc/self/fd/$fd";
        if (!exists $ENV{LVM_SUPPRESS_FD_WARNINGS} && !from_outside("$fd $path")) {
            my $parent = getppid;
            open my $comm, '<', "/proc/$parent/comm";
            chomp(my $name = <$comm> // '');
            print STDERR "File descriptor $fd ($path) leaked on $tool invocation. Parent PID $parent: $name\n";
        }
        open my $handle, "<&=$fd";
        close $handle;
    }
    if (defined $report) {
        open my $info, '<', "/proc/self/fdinfo/$report" or fail("Failed to open stream for file descriptor $report.");
        my ($flags) = join('', <$info>) =~ /^flags:\s+(\d+)/m;
        fail("File descriptor $report already open in read-only mode, expected write-only or read-write mode.") if (oct($flags) & 3) == 0;
    }
}

# AF_UNIX and SOCK_STREAM are 1 on Linux. The module with their names takes longer to load than everything here to run.
socket my $server, 1, 1, 0 or die "socket: $!";
connect $server, pack('Sa*x', 1, "$folder/.server") or do { print STDERR "simulated $tool: no server: $!\n"; exit 127 };
my $request = join "\0", $$, $tool, @ARGV;
syswrite $server, length($request) . "\n$request";

my $answer = '';
1 while sysread $server, $answer, 65536, length $answer;
my ($code, $length, $text) = $answer =~ /^(\d+) (\d+)\n(.*)/s or do { print STDERR "simulated $tool: the test is over\n"; exit 127 };
# A report goes to the report descriptor; what else an lvm command prints does not.
if (defined $report && $tool =~ /s$/) {
    open my $out, ">&=$report";
    print $out substr $text, 0, $length;
    close $out;
} else {
    print STDOUT substr $text, 0, $length;
}
print STDERR substr $text, $length;
exit $code;
