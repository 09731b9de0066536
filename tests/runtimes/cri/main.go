// A kubelet's part of a pod's life, by hand: the calls of the Container Runtime Interface that start a pod with one container,
// run a command in it, and end it.
//
//	cri SOCKET image IMAGE               fails unless the image is there
//	cri SOCKET start NAME IMAGE          prints the identifiers of the sandbox and of its container
//	cri SOCKET exec CONTAINER COMMAND... prints what the command printed
//	cri SOCKET stop SANDBOX
//	cri SOCKET remove SANDBOX
package main

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	controlGroup = "/carrick-runtimes"
	hostPort     = 8080
	podPort      = 80
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cri:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) < 3 {
		return fmt.Errorf("usage: cri SOCKET image|start|exec|stop|remove ...")
	}
	connection, err := grpc.NewClient("unix://"+arguments[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	runtime := cri.NewRuntimeServiceClient(connection)
	switch command, rest := arguments[1], arguments[2:]; {
	case command == "image":
		return image(ctx, cri.NewImageServiceClient(connection), rest[0])
	case command == "start" && len(rest) == 2:
		return start(ctx, runtime, rest[0], rest[1])
	case command == "exec" && len(rest) > 1:
		return execute(ctx, runtime, rest[0], rest[1:])
	case command == "stop":
		_, err := runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: rest[0]})
		return err
	case command == "remove":
		_, err := runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: rest[0]})
		return err
	default:
		return fmt.Errorf("unknown command %q, or too few words behind it", command)
	}
}

func image(ctx context.Context, images cri.ImageServiceClient, name string) error {
	answer, err := images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
	if err == nil && answer.Image == nil {
		err = fmt.Errorf("no image %s", name)
	}
	return err
}

func start(ctx context.Context, runtime cri.RuntimeServiceClient, name, image string) error {
	pod := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: "shop", Uid: name},
		Hostname:     name,
		LogDirectory: os.TempDir(),
		PortMappings: []*cri.PortMapping{{Protocol: cri.Protocol_TCP, ContainerPort: podPort, HostPort: hostPort}},
		Annotations:  map[string]string{"kubernetes.io/egress-bandwidth": "16M"},
		Linux:        &cri.LinuxPodSandboxConfig{CgroupParent: controlGroup},
	}
	sandbox, err := runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: pod})
	if err != nil {
		return err
	}
	container, err := runtime.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId:  sandbox.PodSandboxId,
		SandboxConfig: pod,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: name},
			Image:    &cri.ImageSpec{Image: image},
			Command:  []string{"sleep", "1000"},
			LogPath:  name + ".log",
			Linux:    &cri.LinuxContainerConfig{},
		},
	})
	if err != nil {
		return err
	}
	if _, err := runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: container.ContainerId}); err != nil {
		return err
	}
	fmt.Println(sandbox.PodSandboxId, container.ContainerId)
	return nil
}

func execute(ctx context.Context, runtime cri.RuntimeServiceClient, container string, command []string) error {
	answer, err := runtime.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: container, Cmd: command, Timeout: 30})
	if err != nil {
		return err
	}
	os.Stdout.Write(answer.Stdout)
	os.Stderr.Write(answer.Stderr)
	if answer.ExitCode != 0 {
		return fmt.Errorf("%q ended with %d", command, answer.ExitCode)
	}
	return nil
}
